package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

func TestConsoleUnix(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 1)
	path := filepath.Join(t.TempDir(), "c")
	exec(t, ctx, w.Sites[0], 0, "run", "--name", "alpha", "--memory", "64M", "--console", "unix:"+path, "--detach")
	// Two at a time, and one that never reads: it must hold up nobody.
	stuck, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	o := lab.NewObserver(drive.Period)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := o.Watch("socket", conn)
	if err := o.WaitBeats(ctx, "socket", 1, 2000); err != nil {
		t.Errorf("beside a connection that does not read: %v", err)
	}
	exec(t, ctx, w.Sites[0], 0, "stop", "alpha")
	if err := s.Wait(ctx); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("got %v for the console's socket after the end; want it gone", err)
	}
}

func TestConsoleFile(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 1)
	path := filepath.Join(t.TempDir(), "c")
	exec(t, ctx, w.Sites[0], 0, "run", "--name", "alpha", "--memory", "64M", "--console", "file:"+path, "--detach")
	// Attaching shows what comes from then on, and ends with the guest.
	o := lab.NewObserver(drive.Period)
	attached, err := w.Sites[0].Start(o, "attached", "console", "alpha")
	if err != nil {
		t.Fatal(err)
	}
	if err := o.WaitBeats(ctx, "attached", 1, 100); err != nil {
		t.Errorf("attached: %v\n%s", err, attached.Stderr())
	}
	exec(t, ctx, w.Sites[0], 0, "stop", "alpha")
	if code, err := attached.Wait(ctx); err != nil || code != 0 {
		t.Errorf("attached: got exit %d, %v; want 0\n%s", code, err, attached.Stderr())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"READY", "HB 0 ", "BYE"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("got no %q in the console's file of %d bytes", want, len(text))
		}
	}
}
