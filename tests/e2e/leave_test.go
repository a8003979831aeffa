package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

// terminal is a console that a test types on.
type terminal struct {
	net.Conn
	mu   sync.Mutex // guards seen
	seen map[byte]int
}

func openTerminal(t *testing.T, path string) *terminal {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &terminal{Conn: conn, seen: map[byte]int{}}
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := conn.Read(b)
			c.mu.Lock()
			for _, x := range b[:n] {
				c.seen[x]++
			}
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return c
}

// count is how often a byte came.
func (c *terminal) count(b byte) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[b]
}

// order tells the guest what to do.
func (c *terminal) order(t *testing.T, what byte) {
	t.Helper()
	if _, err := c.Write([]byte{what}); err != nil {
		t.Fatal(err)
	}
}

// TestGuestLeavesItsMove: a guest that ends, crashes or resets in the middle of a move does so as without one, the move
// says why it ended, and the target is as before.
func TestGuestLeavesItsMove(t *testing.T) {
	for _, tt := range []struct {
		name  string
		order byte
		code  string // of the move's error
		exit  int    // of the guest; a reset does not end it
	}{
		{"off", orderPowerOff, "guest_ended", 0},
		{"crash", orderTripleFault, "guest_ended", 4},
		{"reset", orderReset, "guest_reset", 0},
	} {
		for _, phase := range []string{"push", "reserve"} {
			t.Run(tt.name+"-"+phase, func(t *testing.T) {
				ctx := within(t, time.Minute)
				w := newWorld(t, 2)
				console := filepath.Join(t.TempDir(), "c")
				o := lab.NewObserver(drive.Period)
				source, err := w.Sites[0].Start(o, "source", "run", "--name", "alpha", "--memory", "64M", "--kernel", obedientKernel(t), "--console", "unix:"+console)
				if err != nil {
					t.Fatal(err)
				}
				until(t, ctx, "the guest runs", func() bool {
					list, err := w.Sites[0].PS(ctx)
					return err == nil && len(list) == 1 && list[0].State == "running"
				})
				c := openTerminal(t, console)
				trip := &drive.Trip{Observer: o}
				var m *moving
				if phase == "push" {
					m = startMove(t, ctx, w, trip)
				} else {
					m = startHeldMove(t, ctx, w, trip)
				}
				before := c.count('B')
				c.order(t, tt.order)
				got := m.end(t, within(t, 30*time.Second))
				failedAtSource(t, got, "failed")
				if got.Error == nil || got.Error.Code != tt.code {
					t.Errorf("got reason %q, error %+v; want code %s", got.Reason, got.Error, tt.code)
				}
				t.Logf("reason: %s", got.Reason)
				if tt.order == orderReset {
					until(t, ctx, "the guest starts anew", func() bool { return c.count('B') > before && c.count('.') > 0 })
					state(t, ctx, w.Sites[0], "running")
					exec(t, ctx, w.Sites[0], 0, "kill", "alpha")
					tt.exit = 137
				}
				if code, err := source.Wait(ctx); err != nil || code != tt.exit {
					t.Errorf("got exit %d, %v of the guest; want %d\n%s", code, err, tt.exit, source.Stderr())
				}
				m.letGo(t)
				if err := w.Lab.Hosts[1].Shape(0); err != nil {
					t.Fatal(err)
				}
				listensOn(t, ctx, w.Sites[1])
				interrupted(t, ctx, m.target)
			})
		}
	}
}

// startHeldMove begins a move to a receiver that stands still, and returns once it is under way.
func startHeldMove(t *testing.T, ctx context.Context, w *drive.World, trip *drive.Trip) *moving {
	t.Helper()
	target, err := w.Sites[1].Receive(trip.Observer, "target")
	if err != nil {
		t.Fatal(err)
	}
	m := &moving{trip: trip, target: target, ended: make(chan drive.Move, 1), failed: make(chan error, 1)}
	m.hold(t, ctx, target.PID())
	go func() {
		move, err := w.Sites[0].Migrate(ctx, "alpha", target.Listening)
		m.failed <- err
		m.ended <- move
	}()
	until(t, ctx, "the move is under way", func() bool {
		list, err := w.Sites[0].PS(ctx)
		return err == nil && len(list) == 1 && list[0].State == "migrating"
	})
	return m
}

// hold stops a process until letGo, or the test's end, and returns when every thread of it stands still.
func (m *moving) hold(t *testing.T, ctx context.Context, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	m.held = append(m.held, pid)
	t.Cleanup(func() { m.letGo(t) })
	until(t, ctx, "the process stands still", func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		if err != nil {
			return false
		}
		for _, path := range threads {
			stat, err := os.ReadFile(path)
			// The state stands behind the name, which is in parentheses.
			if at := bytes.LastIndexByte(stat, ')'); err != nil || at < 0 || !bytes.HasPrefix(stat[at:], []byte(") T")) {
				return false
			}
		}
		return len(threads) > 0
	})
}

// letGo lets the processes go on that hold stopped.
func (m *moving) letGo(t *testing.T) {
	t.Helper()
	for _, pid := range m.held {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	}
	m.held = nil
}

// listensOn wants that the receiver of a site has dropped what it had of a guest.
func listensOn(t *testing.T, ctx context.Context, s *drive.Site) {
	t.Helper()
	until(t, ctx, "the receiver listens again", func() bool {
		list, err := s.PS(ctx)
		return err == nil && len(list) == 1 && list[0].State == "receiving" && list[0].PID == 0
	})
}

// TestStopWhileMoving: a guest that is stopped while it is sent ends, and its move with it.
func TestStopWhileMoving(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: busy})
	m := startMove(t, ctx, w, trip)
	exec(t, ctx, w.Sites[0], 0, "stop", "alpha")
	if code, err := trip.Process.Wait(ctx); err != nil || code != 0 {
		t.Errorf("got exit %d, %v; want 0\n%s", code, err, trip.Process.Stderr())
	}
	got := m.end(t, within(t, 30*time.Second))
	failedAtSource(t, got, "failed")
	if got.Error == nil || got.Error.Code != "guest_ended" {
		t.Errorf("got reason %q, error %+v; want that the guest ended", got.Reason, got.Error)
	}
	if err := w.Lab.Hosts[1].Shape(0); err != nil {
		t.Fatal(err)
	}
	listensOn(t, ctx, w.Sites[1])
	interrupted(t, ctx, m.target)
}
