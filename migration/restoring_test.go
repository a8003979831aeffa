package migration_test

import (
	"testing"
	"time"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/migration/migrationtest"
)

// TestLinkLostInRestore: a restore may wait for a page that the broken link does not
// bring. It is given up, and the guest goes on at its source.
func TestLinkLostInRestore(t *testing.T) {
	b := newBench(t, 0)
	w := b.pulls(t)
	b.send.Mode = migration.Postcopy
	b.host.OnRestore = func() {
		w.cut(true)
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
