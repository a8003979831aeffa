package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ferryvmm/ferry/cmd/vmm/report"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// reportFile is where the result of a move goes besides: whole, or not at all; as a page for people where its name ends in .html, else as --json
// prints it. Its place is taken before the move begins, so that it is not in vain. Nil is none.
type reportFile struct {
	path    string
	tmp     *os.File
	samples report.Samples
}

// newReportFile takes the place of a report; of none if path is empty.
func newReportFile(path string) (*reportFile, error) {
	if path == "" {
		return nil, nil
	}
	known := func(err error) error {
		return api.Errorf("report", "give --report a file in a folder that can be written", "the report cannot be written: %v", err)
	}
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		return nil, known(errors.New(path + " is a folder"))
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return nil, known(err)
	}
	return &reportFile{path: path, tmp: tmp}, nil
}

// progress notes how the move goes.
func (r *reportFile) progress(p api.Progress) {
	if r != nil {
		r.samples.Add(p)
	}
}

// write puts the report in its place, where it replaces an older one.
func (r *reportFile) write(name string, request api.MigrateRequest, result api.Result) error {
	if r == nil {
		return nil
	}
	var err error
	if strings.EqualFold(filepath.Ext(r.path), ".html") {
		err = report.Write(r.tmp, report.Move{
			Name: name, Ended: time.Now().Format("2 January 2006, 15:04:05 MST"), Version: api.Version(), Request: request, Result: result, Samples: r.samples,
		})
	} else {
		err = writeLine(r.tmp, result)
	}
	if err = errors.Join(err, r.tmp.Chmod(0o644), r.tmp.Sync()); err != nil {
		return err
	}
	return os.Rename(r.tmp.Name(), r.path)
}

// writeLine writes an object as --json prints it.
func writeLine(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// close leaves nothing else behind.
func (r *reportFile) close() {
	if r != nil {
		r.tmp.Close()
		os.Remove(r.tmp.Name()) // gone already where it was written
	}
}
