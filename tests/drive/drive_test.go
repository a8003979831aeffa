package drive

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/lab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is one whose command is a script.
func site(t *testing.T, script string) *Site {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vmm")
	if err := os.WriteFile(path, []byte("#!/bin/bash\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := NewSite(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestExec(t *testing.T) {
	s := site(t, `echo "$FERRY_DIR $*"; echo oops >&2; case $1 in kill) kill -9 $$;; *) exit 3;; esac`)
	d, err := s.Exec(t.Context(), "a", "b")
	if err != nil || d.Code != 3 || d.Stdout != s.Dir+" a b\n" || d.Stderr != "oops\n" {
		t.Errorf("got %v, %v; want exit 3 and both streams", d, err)
	}
	d, err = s.ExecIn(t.Context(), []string{"env", "FERRY_DIR=x"}, "c")
	if err != nil || d.Stdout != "x c\n" {
		t.Errorf("got %v, %v; want it run by the wrapper", d, err)
	}
	if d, err = s.Exec(t.Context(), "kill"); err != nil || d.Code != 137 {
		t.Errorf("got %v, %v; want exit 137", d, err)
	}
}

func TestExecObeysContext(t *testing.T) {
	s := site(t, `exec sleep 1000`)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if d, err := s.Exec(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, %v; want context.DeadlineExceeded", d, err)
	}
}

func TestReceive(t *testing.T) {
	s := site(t, `echo listening tcp:127.0.0.1:7; echo READY; echo HB 0 1 2; exit 4`)
	o := lab.NewObserver(Period)
	p, err := s.Receive(o, "r")
	if err != nil || p.Listening != "tcp:127.0.0.1:7" {
		t.Fatalf("got %+v, %v; want it listening", p, err)
	}
	if code, err := p.Wait(t.Context()); err != nil || code != 4 || !p.Ended() {
		t.Errorf("got exit %d, %v; want 4", code, err)
	}
	if err := o.WaitReady(t.Context()); err != nil {
		t.Error(err)
	}
	if r := o.Report(); len(r.CPUs) != 1 || r.CPUs[0].Beats != 1 || r.Text != 0 {
		t.Errorf("got %+v; want one heartbeat and no other line", r)
	}
}

func TestReceiveThatFails(t *testing.T) {
	s := site(t, `echo "vmm: no" >&2; exit 1`)
	if _, err := s.Receive(lab.NewObserver(Period), "r"); err == nil || !strings.Contains(err.Error(), "vmm: no") {
		t.Errorf("got %v; want what it said", err)
	}
}

func TestObjects(t *testing.T) {
	s := site(t, `
[[ "${*: -1}" == --json ]] || exit 9
case $1 in
ps) echo '{"machines":[{"name":"a","state":"running","pid":5,"more":1}]}' ;;
migrate) echo '{"outcome":"failed","reason":"r","error":{"code":"c","message":"m","remedy":"d"}}'; exit 1 ;;
info) echo '{"name":"a"}'; echo '{}' ;;
esac`)
	list, err := s.PS(t.Context())
	if err != nil || len(list) != 1 || list[0].Name != "a" || list[0].PID != 5 {
		t.Errorf("got %+v, %v; want a", list, err)
	}
	m, err := s.Migrate(t.Context(), "a", "tcp:127.0.0.1:1")
	if err != nil || m.Outcome != "failed" || m.Code != 1 || m.Error == nil || m.Error.Remedy != "d" {
		t.Errorf("got %+v, %v; want it failed", m, err)
	}
	if _, err := s.Info(t.Context(), "a"); err == nil {
		t.Error("got no error for two lines; want one")
	}
}

func TestLeftovers(t *testing.T) {
	// One that is known by its environment, and one by a file that it has open.
	s := site(t, `exec 5>"$FERRY_DIR/a.log"; env -u FERRY_DIR sleep 1000 & disown; touch "$FERRY_DIR/a.sock"; echo $!; exec sleep 1000`)
	o := lab.NewObserver(Period)
	p, err := s.Start(o, "s")
	if err != nil {
		t.Fatal(err)
	}
	e, err := o.Wait(t.Context(), func(e lab.Event) bool { return e.Text != "" })
	if err != nil {
		t.Fatal(err)
	}
	left, err := s.Leftovers()
	if err != nil || len(left) != 3 || left[2] != "a.sock" {
		t.Errorf("got %q, %v; want two processes and a socket", left, err)
	}
	pids, err := s.Processes()
	child, _ := strconv.Atoi(e.Text)
	if err != nil || len(pids) != 2 || !slices.Contains(pids, p.PID()) || !slices.Contains(pids, child) {
		t.Errorf("got %v, %v; want %d and %d", pids, err, p.PID(), child)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if code, err := p.Wait(t.Context()); err != nil || code != 137 {
		t.Errorf("got exit %d, %v; want 137 by Close", code, err)
	}
}

func TestMemfdData(t *testing.T) {
	if _, err := MemfdData(os.Getpid()); err == nil {
		t.Error("got no error for a process without a memfd; want one")
	}
	fd, err := unix.MemfdCreate("sparse", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "sparse")
	defer f.Close()
	if _, err := f.WriteAt([]byte("x"), 2<<20); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(8 << 20); err != nil {
		t.Fatal(err)
	}
	if got, err := MemfdData(os.Getpid()); err != nil || got != 4096 {
		t.Errorf("got %d, %v; want one page", got, err)
	}
}

func TestMedian(t *testing.T) {
	if got := median([]float64{5, 1, 3}); got != 3 {
		t.Errorf("got %v; want 3", got)
	}
}
