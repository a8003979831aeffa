package migration_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/migration/migrationtest"
)

// FuzzRestore restores files of which all checksums are right, and files as they come.
func FuzzRestore(f *testing.F) {
	state, err := migration.NewSection("fake", 1, migrationtest.State{Writes: 5})
	if err != nil {
		f.Fatal(err)
	}
	whole := []migration.Frame{
		migration.ReserveFrame(migration.Description{Name: "g", Layout: guestmem.Layout{{Size: guestmem.MinSize}}}),
		migration.PagesFrame(0, true, 4096, 4096, 0, make([]byte, 4096)),
		migration.StateFrame([]migration.Section{state}),
		migration.EndOfRound(0, true, 1, 1, 0, 0),
	}
	for n := range len(whole) + 1 {
		f.Add(true, migration.BytesOf(whole[:n]...))
	}
	f.Add(false, migration.BuildStream(whole))
	f.Fuzz(func(t *testing.T, build bool, b []byte) {
		if build {
			b = migration.BuildStream(migration.FramesOf(b))
		}
		w := migrationtest.NewWorld()
		h := &migrationtest.Host{World: w}
		r, err := migration.Restore(context.Background(), bytes.NewReader(b), h)
		if (err == nil) != (r.Outcome == migration.OutcomeCompleted) || w.Running(migrationtest.Target) != (err == nil) {
			t.Errorf("got %v, %v, running %v", r.Outcome, err, w.Running(migrationtest.Target))
		}
		built := h.Built()
		if built == nil {
			return
		}
		if err == nil {
			built.Memory().Close()
		} else if !built.Discarded {
			t.Error("what was built is not discarded")
		}
	})
}
