package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

// holdTarget has the machine of the only receiver of a site stand still, as on a host that hangs.
func (m *moving) holdTarget(t *testing.T, ctx context.Context, s *drive.Site) {
	t.Helper()
	list, err := s.PS(ctx)
	if err != nil || len(list) != 1 || list[0].PID == 0 {
		t.Fatalf("got %+v, %v; want a receiver with a machine", list, err)
	}
	m.hold(t, ctx, list[0].PID)
}

// lost wants that a move ended for want of a sign of its target, and all to be as before.
func (m *moving) lost(t *testing.T, ctx context.Context, w *drive.World) {
	t.Helper()
	began := lab.Now()
	got := m.end(t, within(t, 30*time.Second))
	failedAtSource(t, got, "failed")
	if got.Error == nil || got.Error.Code != "link_lost" {
		t.Errorf("got reason %q, error %+v; want link_lost", got.Reason, got.Error)
	}
	t.Logf("%s after %v", got.Reason, lab.Now()-began)
	stays(t, ctx, m.trip)
	m.letGo(t)
	if err := w.Lab.Hosts[1].Shape(0); err != nil {
		t.Fatal(err)
	}
	listensOn(t, ctx, w.Sites[1])
	interrupted(t, ctx, m.target)
}

func TestTargetFallsSilentInPush(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: busy})
	m := startMove(t, ctx, w, trip)
	m.holdTarget(t, ctx, w.Sites[1])
	m.lost(t, ctx, w)
	movesAfterAll(t, ctx, w, trip)
}

func TestTargetFallsSilentInTheSwitchover(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: busy})
	m := startMove(t, ctx, w, trip, "--pause-before-switchover")
	if err := w.Lab.Hosts[1].Shape(0); err != nil {
		t.Fatal(err)
	}
	until(t, ctx, "the move waits", func() bool {
		list, err := w.Sites[0].PS(ctx)
		return err == nil && len(list) == 1 && list[0].State == "waiting"
	})
	m.holdTarget(t, ctx, w.Sites[1])
	exec(t, ctx, w.Sites[0], 0, "migrate", "alpha", "--continue")
	m.lost(t, ctx, w)
	movesAfterAll(t, ctx, w, trip)
}

// TestTargetThatDoesNotAnswer: a receiver that lets itself be dialled and does no more. The move can be cancelled, and
// ends by itself.
func TestTargetThatDoesNotAnswer(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: busy})
	m := startHeldMove(t, ctx, w, trip)
	exec(t, ctx, w.Sites[0], 0, "migrate", "alpha", "--cancel")
	failedAtSource(t, m.end(t, within(t, 30*time.Second)), "cancelled")
	stays(t, ctx, trip)
	m.letGo(t)
	listensOn(t, ctx, w.Sites[1])
	interrupted(t, ctx, m.target)

	m = startHeldMove(t, ctx, w, trip)
	m.lost(t, ctx, w)
	movesAfterAll(t, ctx, w, trip)
}

// TestSecondMove: a guest moves to one place at a time, and the first to ask counts.
func TestSecondMove(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: busy})
	m := startMove(t, ctx, w, trip)
	other, err := w.Sites[1].Receive(trip.Observer, "other")
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{other.Listening, m.target.Listening} {
		second, err := w.Sites[0].Migrate(ctx, "alpha", to)
		if err != nil {
			t.Fatal(err)
		}
		failedAtSource(t, second, "failed")
		if second.Error.Code != "bad_state" {
			t.Errorf("got %+v of a second move; want bad_state", second.Error)
		}
	}
	if err := w.Lab.Hosts[1].Shape(0); err != nil {
		t.Fatal(err)
	}
	if got := m.end(t, ctx); got.Outcome != "completed" {
		t.Errorf("got %+v of the first move; want it completed", got)
	}
	interrupted(t, ctx, other)
	if err := trip.Observer.WaitBeats(ctx, "target", 1, 40); err != nil {
		t.Error(err)
	}
	ends(t, ctx, w.Sites[1], "alpha", trip.Observer, m.target)
}
