package migration_test

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/migration/migrationtest"
)

// TestLinkLostInRestore: a restore may wait for a page that the broken link does not
// bring. It is given up, and the guest goes on at its source.
func TestLinkLostInRestore(t *testing.T) {
	t.Run("broken", func(t *testing.T) {
		lostInRestore(t, func(w *wire) { w.cut(true) })
	})
	t.Run("silent", func(t *testing.T) { // for pages alone, so that nothing else tells
		lostInRestore(t, func(w *wire) {
			w.mu.Lock()
			defer w.mu.Unlock()
			urgent := w.conns[len(w.conns)-1].(*deaf)
			urgent.off.Store(true)
		})
	})
}

// deaf is a connection on which nothing is said any more, once it is off.
type deaf struct {
	net.Conn
	off atomic.Bool
}

func (d *deaf) Write(p []byte) (int, error) {
	if d.off.Load() {
		return len(p), nil
	}
	return d.Conn.Write(p)
}

func lostInRestore(t *testing.T, lose func(*wire)) {
	b := newBench(t, 0)
	w := b.pulls(t)
	b.send.Mode = migration.Postcopy
	b.host.OnRestore = func() {
		lose(w)
		m := b.host.Built().Memory()
		page := make([]byte, guestmem.PageSize)
		for _, missing := range m.Missing() {
			if err := m.ReadAt(page, missing.GPA); err == nil {
				t.Errorf("got a page of a source that is gone; want none")
			}
		}
	}
	e := b.run(t, within(t, 30*time.Second))
	if e.sent.Outcome != migration.OutcomeFailed || e.received.Outcome != migration.OutcomeFailed {
		t.Errorf("got %v, %v; want it failed", e.sent, e.received)
	}
	if !b.world.Running(migrationtest.Source) || b.world.Running(migrationtest.Target) {
		t.Error("the guest does not run at its source alone")
	}
}
