package vmm

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/migration"
)

func TestPausedTravelsInTheState(t *testing.T) {
	other, err := migration.NewSection("other", 1, 7)
	if err != nil {
		t.Fatal(err)
	}
	running := []migration.Section{other}
	paused, err := markPaused(running)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		sections []migration.Section
		want     bool
	}{"running": {running, false}, "paused": {paused, true}} {
		rest, got, err := takePaused(test.sections)
		if err != nil || got != test.want {
			t.Errorf("%s: got paused = %t, %v; want %t", name, got, err, test.want)
		}
		if diff := cmp.Diff(running, rest); diff != "" {
			t.Errorf("%s: the rest of the state (-want +got):\n%s", name, diff)
		}
	}
	if _, err := migration.Pick(paused, "other"); !errors.Is(err, migration.ErrSection) {
		t.Errorf("got %v from a vmm that does not know paused guests; want it to refuse", err)
	}
	later := paused[1]
	later.Version++
	if _, _, err := takePaused([]migration.Section{later}); err == nil {
		t.Error("a version from the future was taken")
	}
	damaged := paused[1]
	damaged.Data = []byte{0x61, 'x'}
	if _, _, err := takePaused([]migration.Section{damaged}); err == nil {
		t.Error("a text was taken for whether the guest is paused")
	}
}

// A person may pause and resume the guest while it is pushed; what holds at the stop is saved.
func TestPauseDuringAMove(t *testing.T) {
	g := newGuest(t, small)
	if err := g.boot(); err != nil {
		t.Fatal(err)
	}
	g.wait(t, "READY")
	ctx := context.Background()
	v, err := g.beginMove()
	if err != nil {
		t.Fatal(err)
	}
	v.follow(func(migration.Progress) {})(migration.Progress{Phase: migration.PhasePush})
	saved := func() bool {
		t.Helper()
		if err := v.Pause(ctx); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(g.Pause(ctx), g.Resume()); err == nil {
			t.Error("a guest that stands still for its move was paused or resumed")
		}
		sections, err := v.Save()
		if err != nil {
			t.Fatal(err)
		}
		_, paused, err := takePaused(sections)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Resume(); err != nil {
			t.Fatal(err)
		}
		return paused
	}
	if err := g.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	if got := g.current(); got != StateMigrating {
		t.Errorf("got state %s of a guest paused in its move; want %s", got, StateMigrating)
	}
	if !saved() || !v.still {
		t.Error("a paused guest was saved as running")
	}
	if got := v.outcome(migration.Result{DowntimeMS: 3, Downtime: migration.Downtime{PauseMS: 3}}, nil).Result; got.DowntimeMS != 0 || got.Downtime.PauseMS != 0 {
		t.Errorf("got downtime %+v of a paused guest; want none", got)
	}
	if err := g.Resume(); err != nil {
		t.Fatal(err)
	}
	g.wait(t, "HB 0 ")
	if saved() || v.still {
		t.Error("a running guest was saved as paused")
	}
	if err := g.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	v.end(false)
	if got := g.current(); got != StatePaused {
		t.Errorf("got state %s behind the move; want %s", got, StatePaused)
	}
}

// TestOrdersInEachState: what can be asked of a machine whose guest moves.
func TestOrdersInEachState(t *testing.T) {
	g := newGuest(t, small)
	if err := g.boot(); err != nil {
		t.Fatal(err)
	}
	g.wait(t, "READY")
	if g.cancelMove() == nil || g.continueMove() == nil {
		t.Error("no move is under way, and one was cancelled or continued")
	}
	for _, tt := range []struct {
		phase            migration.Phase
		cancel, goes     bool
		wantAfterGoingOn State
	}{
		{migration.PhaseReserve, true, false, StateMigrating},
		{migration.PhasePush, true, false, StateMigrating},
		{migration.PhaseStop, true, false, StateMigrating},
		{migration.PhaseWait, true, true, StateMigrating},
		{migration.PhaseCommit, false, false, StateRelinquished},
		{migration.PhaseInDoubt, false, false, StateInDoubt},
	} {
		v, err := g.beginMove()
		if err != nil {
			t.Fatal(err)
		}
		v.resume = make(chan struct{})
		v.follow(func(migration.Progress) {})(migration.Progress{Phase: tt.phase})
		if err := g.continueMove(); (err == nil) != tt.goes {
			t.Errorf("%s: continued: got %v; want it to work: %t", tt.phase, err, tt.goes)
		}
		if got := g.current(); got != tt.wantAfterGoingOn {
			t.Errorf("%s: got state %s; want %s", tt.phase, got, tt.wantAfterGoingOn)
		}
		if g.continueMove() == nil {
			t.Errorf("%s: continued again", tt.phase)
		}
		if err := g.cancelMove(); (err == nil) != tt.cancel {
			t.Errorf("%s: cancelled: got %v; want it to work: %t", tt.phase, err, tt.cancel)
		}
		v.end(false)
		if got := g.current(); got != StateRunning {
			t.Errorf("%s: got state %s behind the move; want %s", tt.phase, got, StateRunning)
		}
	}
}
