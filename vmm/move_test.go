package vmm

import (
	"context"
	"io"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/migration"
)

// slowDisk stands for storage that takes as long to make durable what was
// written as that is much.
type slowDisk struct {
	machine *Machine
	written int // bytes since the last sync
	syncs   []syncCost
}

// syncCost is what one sync had to wait for.
type syncCost struct {
	Bytes int
	Still bool // while the guest stood still
}

func (s *slowDisk) durable(*os.File) error {
	s.syncs = append(s.syncs, syncCost{s.written, s.machine.move.halted})
	s.written = 0
	return nil
}

// TestStopDoesNotWaitForDisks wants what the guest wrote before it is moved, or
// a snapshot taken, to be made durable while it runs: the sync of the stop finds
// nothing left to do.
func TestStopDoesNotWaitForDisks(t *testing.T) {
	t.Parallel()
	g := newDriven(t, newImage(t))
	disk := &slowDisk{machine: g.Machine}
	g.backs.durable = disk.durable
	if err := g.boot(); err != nil {
		t.Fatal(err)
	}
	g.wait(t, "READY")
	for name, saveCost := range map[string]func(*move) func() time.Duration{
		"move":     func(v *move) func() time.Duration { return v.sending(migration.SendConfig{}).SaveCost },
		"snapshot": func(v *move) func() time.Duration { return v.saving(migration.SaveConfig{}).SaveCost },
	} {
		v, err := g.beginMove()
		if err != nil {
			t.Fatal(err)
		}
		d, err := g.describe(0)
		if err != nil {
			t.Fatal(err)
		}
		disk.written, disk.syncs = 1<<30, nil
		result, err := migration.Save(context.Background(), migration.SaveConfig{
			Stream: io.Discard, Guest: v, Memory: g.instance.memory, Description: d, Blobs: g.images.readers(),
			Mode: migration.Precopy, SaveCost: saveCost(v), Cancel: v.cancel, Progress: func(migration.Progress) {}, Accepted: time.Now(),
		})
		v.end(false)
		if err != nil || result.Outcome != migration.OutcomeCompleted {
			t.Fatalf("%s: got %v, %v; want it completed", name, result.Outcome, err)
		}
		last := len(disk.syncs) - 1
		if last < 1 {
			t.Fatalf("%s: got %d syncs; want one while the guest runs, and one with it stopped", name, last+1)
		}
		want := []syncCost{{1 << 30, false}, {0, true}}
		if diff := cmp.Diff(want, []syncCost{disk.syncs[0], disk.syncs[last]}); diff != "" {
			t.Errorf("%s: the first sync, and that of the stop (-want +got):\n%s", name, diff)
		}
	}
}
