package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

// vmm is the command under test, built by TestMain.
var vmm string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "ferry-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if err := os.Chmod(dir, 0o755); err != nil { // some tests run it as another user
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if vmm, err = drive.Build(context.Background(), dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// within bounds a test.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// lack skips the test for want of something, and in CI fails it.
func lack(t *testing.T, what error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// needKVM is for tests that run a guest.
func needKVM(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		lack(t, err)
		return
	}
	f.Close()
}

// newWorld makes hosts sites. At the test's end nothing may be left on them.
func newWorld(t *testing.T, hosts int) *drive.World {
	t.Helper()
	needKVM(t)
	w, err := drive.NewWorld(vmm, hosts)
	if errors.Is(err, lab.ErrNeedsRoot) {
		lack(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		left, err := w.Leftovers()
		if err != nil {
			t.Error(err)
		}
		if len(left) > 0 {
			t.Errorf("got left behind: %q; want nothing", left)
		}
		if t.Failed() {
			showLogs(t, w)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func showLogs(t *testing.T, w *drive.World) {
	t.Helper()
	for i, s := range w.Sites {
		logs, _ := filepath.Glob(filepath.Join(s.Dir, "*.log"))
		for _, path := range logs {
			text, _ := os.ReadFile(path)
			if len(text) > 8192 {
				text = text[len(text)-8192:]
			}
			t.Logf("host %d, %s:\n%s", i, filepath.Base(path), text)
		}
	}
}

// boot boots loadgen on host 0.
func boot(t *testing.T, ctx context.Context, w *drive.World, g drive.Guest) *drive.Trip {
	t.Helper()
	if g.Name == "" {
		g.Name = "alpha"
	}
	if g.Memory == 0 {
		g.Memory = 128
	}
	if g.CPUs == 0 {
		g.CPUs = 1
	}
	if g.Cmdline == "" {
		g.Cmdline = "fill=16 wss=8"
	}
	trip, err := drive.Boot(ctx, w.Sites, g)
	if err != nil {
		t.Fatal(err)
	}
	return trip
}

// stop stops the guest and checks what it counted.
func stop(t *testing.T, ctx context.Context, trip *drive.Trip) {
	t.Helper()
	if err := trip.Check(ctx); err != nil {
		t.Error(err)
	}
	if err := trip.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// completes makes a move and wants it completed.
func completes(t *testing.T, ctx context.Context, trip *drive.Trip, args ...string) drive.Moved {
	t.Helper()
	m, err := trip.Move(ctx, args...)
	if err != nil {
		t.Fatal(err)
	}
	if m.Outcome != "completed" || m.Code != 0 || m.Error != nil {
		t.Fatalf("got outcome %s (%s), exit %d, %+v; want completed, exit 0", m.Outcome, m.Reason, m.Code, m.Error)
	}
	return m
}

// exec runs a command and wants an exit code.
func exec(t *testing.T, ctx context.Context, s *drive.Site, code int, args ...string) drive.Done {
	t.Helper()
	d, err := s.Exec(ctx, args...)
	if err != nil {
		t.Fatal(err)
	}
	if d.Code != code {
		t.Errorf("got exit %d; want %d\n%s", d.Code, code, d)
	}
	return d
}

// failure wants of a command with --json an error with a remedy, whose code is
// one of those given (any, when none is).
func failure(t *testing.T, d drive.Done, codes ...string) drive.Failure {
	t.Helper()
	var got struct{ Error *drive.Failure }
	line, _, _ := strings.Cut(strings.TrimSpace(d.Stdout), "\n")
	if err := json.Unmarshal([]byte(line), &got); err != nil || got.Error == nil {
		t.Errorf("got no error object (%v)\n%s", err, d)
		return drive.Failure{}
	}
	if got.Error.Message == "" || got.Error.Remedy == "" {
		t.Errorf("got %+v; want a message and a remedy", *got.Error)
	}
	known := len(codes) == 0
	for _, c := range codes {
		known = known || c == got.Error.Code
	}
	if !known {
		t.Errorf("got error code %q (%s); want one of %q", got.Error.Code, got.Error.Message, codes)
	}
	return *got.Error
}

// stays wants the guest to run on, on the host where it is.
func stays(t *testing.T, ctx context.Context, trip *drive.Trip) {
	t.Helper()
	site := trip.Sites[trip.At]
	list, err := site.PS(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 || list[0].State != "running" {
		t.Errorf("got machines %+v; want the guest running", list)
	}
	if err := trip.Observer.WaitBeats(ctx, trip.Process.Stream.Name, 1, 20); err != nil {
		t.Errorf("the guest does not go on: %v", err)
	}
}
