package e2e

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/tests/drive"
)

// A receiver has its guest's process ready. Should that die, another takes the guest in; and it goes with a receiver that is interrupted.
func TestReceiverIsReady(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 2)
	var target *drive.Process
	// spare is its process: there before anybody hears that it listens.
	spare := func() int {
		pids, err := w.Sites[1].Processes()
		if pids = slices.DeleteFunc(pids, func(pid int) bool { return pid == target.PID() }); err != nil || len(pids) != 1 {
			t.Fatalf("got processes %v, %v beside the receiver; want one", pids, err)
		}
		return pids[0]
	}
	var trip *drive.Trip
	var err error
	for _, dies := range []bool{false, true} {
		trip = boot(t, ctx, w, drive.Guest{})
		if target, err = w.Sites[1].Receive(trip.Observer, "target"); err != nil {
			t.Fatal(err)
		}
		ready := spare()
		if dies {
			if err := syscall.Kill(ready, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			until(t, ctx, "the process is gone", func() bool {
				pids, err := w.Sites[1].Processes()
				return err == nil && len(pids) == 1
			})
		}
		m, err := w.Sites[0].Migrate(ctx, "alpha", target.Listening)
		if err != nil || m.Outcome != "completed" {
			t.Fatalf("got %+v, %v; want a move", m, err)
		}
		if info, err := w.Sites[1].Info(ctx, "alpha"); err != nil || (info.PID != ready) != dies {
			t.Errorf("the guest is in process %d, %v; %d was ready, and died: %v", info.PID, err, ready, dies)
		}
		exec(t, ctx, w.Sites[1], 0, "stop", "alpha")
		endInOrder(t, ctx, trip.Process, target)
	}

	if target, err = w.Sites[1].Receive(trip.Observer, "interrupted"); err != nil {
		t.Fatal(err)
	}
	spare()
	interrupted(t, ctx, target)
	if pids, err := w.Sites[1].Processes(); err != nil || len(pids) != 0 {
		t.Errorf("got processes %v, %v behind an interrupted receiver; want none", pids, err)
	}
}
