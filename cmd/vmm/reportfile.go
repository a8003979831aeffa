package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// reportFile is where the result of a move goes besides: whole, or not at all.
// Its place is taken before the move begins, so that it is not in vain. Nil is
// none.
type reportFile struct {
	path string
	tmp  *os.File
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

// write puts the report in its place, where it replaces an older one.
func (r *reportFile) write(result api.Result) error {
	if r == nil {
		return nil
	}
	text, err := json.Marshal(result)
	if err != nil {
		return err
	}
	_, err = r.tmp.Write(append(text, '\n'))
	if err = errors.Join(err, r.tmp.Chmod(0o644), r.tmp.Sync()); err != nil {
		return err
	}
	return os.Rename(r.tmp.Name(), r.path)
}

// close leaves nothing else behind.
func (r *reportFile) close() {
	if r != nil {
		r.tmp.Close()
		os.Remove(r.tmp.Name()) // gone already where it was written
	}
}
