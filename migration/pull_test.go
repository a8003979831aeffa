package migration_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/internal/tcptest"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/migration/migrationtest"
)

// wire makes the later connections of a bench's move, and cuts all of them.
type wire struct {
	t      testing.TB
	joined chan migration.Joined

	mu    sync.Mutex // guards all below
	conns []net.Conn
	down  bool // nobody answers
}

// pulls makes a bench able to move with pages missing.
func (b *bench) pulls(t testing.TB) *wire {
	t.Helper()
	dev, err := os.OpenFile("/dev/userfaultfd", os.O_RDWR, 0)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("got %v; want userfaultfd", err)
		}
		t.Skipf("no userfaultfd here: %v", err)
	}
	t.Cleanup(func() { dev.Close() })
	b.host.Userfault = dev
	w := &wire{t: t, joined: make(chan migration.Joined, 8)}
	w.conns = []net.Conn{b.recv.Control, b.recv.Bulk}
	b.recv.Joined = w.joined
	b.send.Dial = w.dial
	return w
}

func (w *wire) dial(context.Context) (net.Conn, error) {
	w.mu.Lock()
	down := w.down
	w.mu.Unlock()
	if down {
		return nil, errors.New("no route")
	}
	dialled, conn := tcptest.Pair(w.t)
	accepted := &deaf{Conn: conn}
	w.mu.Lock()
	w.conns = append(w.conns, accepted)
	w.mu.Unlock()
	go func() { // as the acceptor does
		h, err := migration.ReadHello(accepted)
		if err != nil {
			accepted.Close()
			return
		}
		w.joined <- migration.Joined{Role: h.Role, Conn: accepted}
	}()
	return dialled, nil
}

// cut breaks every connection; while down is true there are no new ones.
func (w *wire) cut(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.Close()
	}
	w.conns, w.down = nil, down
}

// mend lets the source dial again.
func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = false
}

// touchers read the target's memory at random, as devices do, and compare it with
// the source's, which stands still by then.
func (b *bench) touchers(t *testing.T, n int) (wait func()) {
	var wg sync.WaitGroup
	b.host.OnStart = func() {
		m := b.host.Built().Memory()
		for i := range n {
			wg.Add(1)
			go func() {
				defer wg.Done()
				random := rand.New(rand.NewPCG(uint64(i), 1))
				want, got := make([]byte, guestmem.PageSize), make([]byte, guestmem.PageSize)
				for range 400 {
					gpa := random.Uint64N(m.Size()/guestmem.PageSize) * guestmem.PageSize
					if err := errors.Join(m.ReadAt(got, gpa), b.guest.Memory.ReadAt(want, gpa)); err != nil {
						t.Error(err)
						return
					}
					if !bytes.Equal(got, want) {
						t.Errorf("page %#x differs", gpa)
						return
					}
				}
			}()
		}
	}
	return wg.Wait
}

func TestPull(t *testing.T) {
	for _, tc := range []struct {
		mode, done migration.Mode
	}{
		{migration.Postcopy, migration.Postcopy}, {migration.Hybrid, migration.Hybrid}, {migration.Auto, migration.Precopy},
	} {
		t.Run(string(tc.mode), func(t *testing.T) {
			b := newBench(t, 3000)
			b.pulls(t)
			b.send.Mode = tc.mode
			wait := b.touchers(t, 4)
			e := b.run(t, within(t, 30*time.Second))
			wait()
			if e.sentErr != nil || e.receivedErr != nil {
				t.Fatalf("got %v, %v; want it moved", e.sentErr, e.receivedErr)
			}
			b.wantMoved(t)
			if got := e.sent.Mode; got != string(tc.done) {
				t.Errorf("got mode %s; want %s", got, tc.done)
			}
			if tc.done == migration.Postcopy && (e.sent.PulledPages < 24*mib/guestmem.PageSize || e.sent.UrgentPages == 0 || e.sent.Faults.Count == 0) {
				t.Errorf("got %d pages pulled, %d urgent, %d faults; want all, and some", e.sent.PulledPages, e.sent.UrgentPages, e.sent.Faults.Count)
			}
			if tc.done == migration.Precopy && e.sent.PulledPages != 0 {
				t.Errorf("got %d pages pulled; want none", e.sent.PulledPages)
			}
			if e.sent.SentBytes < e.sent.PageBytes || e.sent.PageBytes > e.sent.ResidentBytes*2 {
				t.Errorf("got %d sent, %d of pages, %d resident; want no page twice", e.sent.SentBytes, e.sent.PageBytes, e.sent.ResidentBytes)
			}
			t.Logf("%+v", e.sent)
		})
	}
}

// TestAutoPulls: a guest that writes faster than the link takes is not pushed for long.
func TestAutoPulls(t *testing.T) {
	b := newBench(t, 30000)
	b.pulls(t)
	b.send.Mode, b.send.Bandwidth, b.send.DowntimeLimit = migration.Auto, 200e6, 10*time.Millisecond
	wait := b.touchers(t, 2)
	e := b.run(t, within(t, 30*time.Second))
	wait()
	if e.sentErr != nil || e.receivedErr != nil {
		t.Fatalf("got %v, %v; want it moved", e.sentErr, e.receivedErr)
	}
	b.wantMoved(t)
	if e.sent.Mode != string(migration.Hybrid) || e.sent.PulledPages == 0 {
		t.Errorf("got mode %s, %d pages pulled; want it to switch", e.sent.Mode, e.sent.PulledPages)
	}
	t.Logf("%+v", e.sent)
}

// TestTimeoutSwitches: a push that lasts too long ends in a pull.
func TestTimeoutSwitches(t *testing.T) {
	b := newBench(t, 100)
	b.pulls(t)
	b.send.Mode, b.send.Bandwidth, b.send.Timeout = migration.Auto, 100e6, 200*time.Millisecond
	e := b.run(t, within(t, 30*time.Second))
	if e.sentErr != nil || e.receivedErr != nil {
		t.Fatalf("got %v, %v; want it moved", e.sentErr, e.receivedErr)
	}
	b.wantMoved(t)
	if e.sent.Mode != string(migration.Hybrid) || e.sent.PulledPages == 0 {
		t.Errorf("got mode %s, %d pages pulled; want it to switch", e.sent.Mode, e.sent.PulledPages)
	}
}

// TestRemote: nothing comes that is not needed, until it is asked for.
func TestRemote(t *testing.T) {
	b := newBench(t, 0)
	b.pulls(t)
	b.send.Mode = migration.Remote
	fetch := make(chan struct{})
	b.recv.Fetch = fetch
	wait := b.touchers(t, 2)
	served := make(chan migration.Result, 1)
	b.send.Progress = func(p migration.Progress) {
		if p.Serving != nil {
			served <- *p.Serving
		}
	}
	go func() {
		r := <-served
		if r.Outcome != migration.OutcomeCompleted || r.Mode != string(migration.Remote) || r.DowntimeMS <= 0 {
			t.Errorf("got %+v; want it to be served", r)
		}
		wait()
		if !b.world.Running(migrationtest.Target) {
			t.Error("it does not run at the target")
		}
		close(fetch)
	}()
	e := b.run(t, within(t, 30*time.Second))
	if e.sentErr != nil || e.receivedErr != nil {
		t.Fatalf("got %v, %v; want it moved", e.sentErr, e.receivedErr)
	}
	b.wantMoved(t)
	if e.sent.UrgentPages == 0 || e.sent.PulledPages <= e.sent.UrgentPages {
		t.Errorf("got %d pages pulled, %d urgent; want some of each", e.sent.PulledPages, e.sent.UrgentPages)
	}
}

// TestRejoin: a pull whose link is lost goes on over another one.
func TestRejoin(t *testing.T) {
	b := newBench(t, 3000)
	w := b.pulls(t)
	b.send.Mode, b.send.Bandwidth = migration.Postcopy, 300e6
	wait := b.touchers(t, 4)
	var once sync.Once
	b.send.Progress = func(p migration.Progress) {
		if p.Phase == migration.PhasePull && p.RemainingBytes < 16*mib {
			once.Do(func() {
				w.cut(true)
				time.AfterFunc(700*time.Millisecond, w.mend)
			})
		}
	}
	e := b.run(t, within(t, 60*time.Second))
	wait()
	if e.sentErr != nil || e.receivedErr != nil {
		t.Fatalf("got %v, %v; want it moved", e.sentErr, e.receivedErr)
	}
	b.wantMoved(t)
	if e.sent.Rejoins == 0 {
		t.Error("got no rejoin; want one")
	}
	t.Logf("%+v", e.sent)
}

// TestFetchWhileTheLinkIsLost: what a target asks for meanwhile it says over the next link, right behind what it is missing.
func TestFetchWhileTheLinkIsLost(t *testing.T) {
	b := newBench(t, 0)
	w := b.pulls(t)
	b.send.Mode = migration.Remote
	fetch := make(chan struct{})
	b.recv.Fetch = fetch
	var served, mended sync.Once
	b.send.Progress = func(p migration.Progress) {
		switch {
		case p.Serving != nil:
			served.Do(func() {
				w.cut(true)
				close(fetch)
			})
		case p.Phase == migration.PhaseRejoin:
			mended.Do(w.mend)
		}
	}
	e := b.run(t, within(t, 30*time.Second))
	if e.sentErr != nil || e.receivedErr != nil {
		t.Fatalf("got %v, %v; want it moved", e.sentErr, e.receivedErr)
	}
	b.wantMoved(t)
}

// TestNoPull: a target without userfaultfd refuses the modes that need it, and
// takes the others.
func TestNoPull(t *testing.T) {
	b := newBench(t, 0)
	b.pulls(t)
	b.host.Userfault = nil
	b.send.Mode = migration.Postcopy
	e := b.run(t, within(t, 30*time.Second))
	if e.sentErr == nil || e.sent.Outcome != migration.OutcomeFailed {
		t.Errorf("got %v, %+v; want it refused", e.sentErr, e.sent)
	}
	b.wantHome(t)

	b = newBench(t, 0)
	b.pulls(t)
	b.host.Userfault = nil
	b.send.Mode = migration.Auto
	if e := b.run(t, within(t, 30*time.Second)); e.sentErr != nil {
		t.Errorf("got %v; want it moved", e.sentErr)
	}
	b.wantMoved(t)
}
