package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/cmd/vmm/report"
)

var update = flag.Bool("update", false, "write the golden terminal")

// TestMigrateOnTerminal has a recorded move on a terminal of 132 columns. What it writes there is also what docs/ shows: make screenshots.
func TestMigrateOnTerminal(t *testing.T) {
	text, err := os.ReadFile("report/testdata/precopy.json")
	if err != nil {
		t.Fatal(err)
	}
	var m report.Move
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	person, program := terminal(t)
	if err := unix.IoctlSetWinsize(int(program.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 132}); err != nil {
		t.Fatal(err)
	}
	h := newHarness(t)
	h.app.stdout, h.app.stderr = program, program
	h.serve(m.Name, stream(m.Samples.All, m.Result))
	read := make(chan []byte)
	go func() {
		var b bytes.Buffer
		io.Copy(&b, person) //nolint:errcheck // EIO when nobody writes any more
		read <- b.Bytes()
	}()
	if got := h.run("migrate", m.Name, m.Request.Target, "--mode", m.Request.Mode, "--downtime-limit", "8ms", "--bandwidth", "600M", "--channels", "2", "--insecure"); got != exitOK {
		t.Errorf("got exit code %d; want 0", got)
	}
	if err := program.Close(); err != nil {
		t.Fatal(err)
	}
	got := <-read
	const golden = "testdata/migrate.terminal"
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(golden, got, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (go test -update writes it, and then make screenshots): (-want +got):\n%s", golden, diff)
	}
}
