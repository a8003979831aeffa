package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/tests/drive"
)

// mistake is one entry of the catalogue of errors: what somebody types, and what they are told. docs/troubleshooting.md says more about each.
type mistake struct {
	line string   // the command; $DIR is the folder of [mistakes], $LONG a path that is too long, $WIDE 3000 letters
	in   []string // a wrapper, with $DIR around it, as [drive.Site.ExecIn] has it
	exit int      // 0: this is no mistake, but what the next one needs
	code string   // of the error
	says string   // a part of the message that is always the same
	try  string   // of the remedy
}

// noJSON are commands whose errors are told to people only.
var noJSON = []string{"console", "logs", "help", "completion", "man", "inspect", "nonsense"}

// words are those of a command line.
func words(line, dir string) []string {
	r := strings.NewReplacer("$DIR", dir, "$LONG", "/tmp/"+strings.Repeat("x", 120), "$WIDE", strings.Repeat("w", 3000))
	return strings.Fields(r.Replace(line))
}

// complaint is what a command said went wrong.
func complaint(d drive.Done, asJSON bool) (drive.Failure, error) {
	var f drive.Failure
	if asJSON {
		var got struct{ Error *drive.Failure }
		line, rest, _ := strings.Cut(strings.TrimSpace(d.Stdout), "\n")
		err := json.Unmarshal([]byte(line), &got)
		if err == nil && (got.Error == nil || rest != "") {
			err = errors.New("no error object, or not it alone")
		}
		if err == nil {
			f = *got.Error
		}
		return f, err
	}
	lines := strings.Split(strings.TrimSpace(d.Stderr), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "vmm: ") || !strings.HasPrefix(lines[1], "try: ") {
		return f, errors.New("not a line with the message and one with the remedy")
	}
	return drive.Failure{Message: strings.TrimPrefix(lines[0], "vmm: "), Remedy: strings.TrimPrefix(lines[1], "try: ")}, nil
}

// make types the command at a site, and holds what it says against the entry.
func (m mistake) make(t *testing.T, ctx context.Context, s *drive.Site, dir string) {
	t.Helper()
	args := words(m.line, dir)
	asJSON := len(args) > 0 && !slices.Contains(noJSON, args[0])
	if asJSON && m.exit != 0 {
		args = slices.Insert(args, 1, "--json")
	}
	wrapper := make([]string, len(m.in))
	for i, w := range m.in {
		wrapper[i] = strings.ReplaceAll(w, "$DIR", dir)
	}
	d, err := s.ExecIn(ctx, wrapper, args...)
	if err != nil {
		t.Fatal(err)
	}
	if d.Code != m.exit {
		t.Errorf("%q: got exit %d; want %d\n%s", m.line, d.Code, m.exit, d)
	}
	if m.exit == 0 {
		return
	}
	f, err := complaint(d, asJSON)
	if err != nil {
		t.Errorf("%q: got no error with a remedy: %v\n%s", m.line, err, d)
		return
	}
	code := m.code
	if !asJSON {
		code = f.Code // people are told none
	}
	wants(t, m.line, f, code, m.says, m.try)
}

// mistakes makes all of them at a site, and wants nothing of them to be left. dir holds what they name.
func mistakes(t *testing.T, ctx context.Context, s *drive.Site, dir string, all []mistake) {
	t.Helper()
	look := func() []string {
		left, err := s.Leftovers()
		if err != nil {
			t.Fatal(err)
		}
		if s.Host != nil {
			links, err := s.Host.Configured()
			if err != nil {
				t.Fatal(err)
			}
			left = append(left, links...)
		}
		files := tree(t, dir)
		slices.Sort(files)
		return append(left, files...)
	}
	before := look()
	for _, m := range all {
		m.make(t, ctx, s, dir)
	}
	if diff := cmp.Diff(before, look()); diff != "" {
		t.Errorf("what there is (-before +after):\n%s", diff)
	}
}

// mistakeFiles makes a folder of things that are not what they are taken for.
func mistakeFiles(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "oops") // short: paths of sockets are bounded
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for name, text := range map[string]string{
		"text": "hello\n", "empty": "", "elf": "\x7fELF", "disk": strings.Repeat("\x00", 1<<20), "other": strings.Repeat("\x00", 2<<20), "full/file": "",
		"field.json": `{"memroy": "64M"}`, "type.json": `{"memory": 64}`, "value.json": `{"memory": "64"}`, "list.json": `[]`, "twice.json": `{"cpus": 1, "cpus": 2}`,
		"long.json": strings.Repeat(" ", 300<<10), "cpu.json": `{"format": 7}`,
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	own := filepath.Join(dir, "nobody")
	if err := errors.Join(mkfifo(filepath.Join(dir, "pipe")), os.Chmod(dir, 0o755), os.Mkdir(own, 0o700)); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(own, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// wants holds what was told against what should have been.
func wants(t *testing.T, what string, f drive.Failure, code, says, try string) {
	t.Helper()
	if f.Code != code || !strings.Contains(f.Message, says) || !strings.Contains(f.Remedy, try) || f.Remedy == "" || strings.Contains(f.Message, "\n") {
		t.Errorf("%q: got code %s, %q, try %q\nwant code %s, a line with %q, and with %q", what, f.Code, f.Message, f.Remedy, code, says, try)
	}
}

func join(words []string) string { return strings.Join(words, " ") }

// left wants nothing to be left of a machine on a host whose network was set up like that before.
func left(t *testing.T, w *drive.World, host int, before []string) {
	t.Helper()
	all, err := w.Sites[host].Leftovers()
	if err != nil {
		t.Fatal(err)
	}
	after, err := w.Lab.Hosts[host].Configured()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" || len(all) != 0 {
		t.Errorf("host %d: got %q left behind; want nothing; network (-before +after):\n%s", host, all, diff)
	}
}
