package e2e

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/tests/drive"
)

// slow, in bits per second, stretches a move of 32 MiB over several seconds.
const slow = 40_000_000

// moving is a move that is in the middle of its first round.
type moving struct {
	trip   *drive.Trip
	target *drive.Process
	ended  chan drive.Move
	failed chan error
	held   []int // processes that stand still
}

// startMove begins a move over a slow link and returns in the middle of it. Unless args say otherwise nothing is compressed: it would be over too soon.
func startMove(t *testing.T, ctx context.Context, w *drive.World, trip *drive.Trip, args ...string) *moving {
	t.Helper()
	if err := w.Lab.Hosts[1].Shape(slow); err != nil {
		t.Fatal(err)
	}
	target, err := w.Sites[1].Receive(trip.Observer, "target")
	if err != nil {
		t.Fatal(err)
	}
	m := &moving{trip: trip, target: target, ended: make(chan drive.Move, 1), failed: make(chan error, 1)}
	go func() {
		move, err := w.Sites[0].Migrate(ctx, "alpha", target.Listening, append([]string{"--compress", "off"}, args...)...)
		m.failed <- err
		m.ended <- move
	}()
	before, err := w.Lab.Hosts[0].Sent()
	if err != nil {
		t.Fatal(err)
	}
	until(t, ctx, "the move is in the middle of a round", func() bool {
		sent, err := w.Lab.Hosts[0].Sent()
		return err == nil && sent > before+2<<20
	})
	return m
}

// until looks again and again until a condition of another process holds.
func until(t *testing.T, ctx context.Context, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waiting until %s: %v", what, context.Cause(ctx))
		}
	}
}

// end returns how the move ended.
func (m *moving) end(t *testing.T, ctx context.Context) drive.Move {
	t.Helper()
	select {
	case err := <-m.failed:
		if err != nil {
			t.Fatal(err)
		}
		return <-m.ended
	case <-ctx.Done():
		t.Fatalf("the move goes on: %v", context.Cause(ctx))
		return drive.Move{}
	}
}

// failedAtSource wants a move that ended with the guest at the source.
func failedAtSource(t *testing.T, m drive.Move, outcome string) {
	t.Helper()
	if m.Outcome != outcome || m.Code != 1 || m.Reason == "" {
		t.Errorf("got outcome %s, exit %d, reason %q; want %s, exit 1 and a reason", m.Outcome, m.Code, m.Reason, outcome)
	}
	if outcome == "failed" && (m.Error == nil || m.Error.Message == "" || m.Error.Remedy == "") {
		t.Errorf("got error %+v; want a message and a remedy", m.Error)
	}
}

// movesAfterAll lifts all limits and wants that nothing is lost and that the
// guest can still be moved.
func movesAfterAll(t *testing.T, ctx context.Context, w *drive.World, trip *drive.Trip) {
	t.Helper()
	if err := w.Lab.Hosts[1].Shape(0); err != nil {
		t.Fatal(err)
	}
	stays(t, ctx, trip)
	completes(t, ctx, trip)
	if err := trip.Verify(ctx); err != nil {
		t.Error(err)
	}
	stop(t, ctx, trip)
}

const busy = "fill=32 wss=8 rate=2 countreg=1"

func TestCancel(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: busy})
	m := startMove(t, ctx, w, trip)
	if list, err := w.Sites[0].PS(ctx); err != nil || len(list) != 1 || list[0].State != "migrating" {
		t.Errorf("got %+v, %v; want alpha migrating", list, err)
	}
	exec(t, ctx, w.Sites[0], 0, "migrate", "alpha", "--cancel")
	failedAtSource(t, m.end(t, ctx), "cancelled")
	if m.target.Ended() {
		t.Errorf("the receiver ended; want it to listen on\n%s", m.target.Stderr())
	}
	interrupted(t, ctx, m.target)
	exec(t, ctx, w.Sites[0], 1, "migrate", "alpha", "--cancel") // nothing is under way
	movesAfterAll(t, ctx, w, trip)
}

func TestTimeout(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: busy})
	m := startMove(t, ctx, w, trip, "--mode", "precopy", "--timeout", "2s")
	got := m.end(t, ctx)
	failedAtSource(t, got, "cancelled")
	if got.Reason != "timeout" {
		t.Errorf("got reason %q; want timeout", got.Reason)
	}
	interrupted(t, ctx, m.target)
	movesAfterAll(t, ctx, w, trip)
}

func TestLinkDropsInARound(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{CPUs: 2, Cmdline: busy})
	m := startMove(t, ctx, w, trip)
	if err := w.Lab.Hosts[1].Cut(); err != nil {
		t.Fatal(err)
	}
	failedAtSource(t, m.end(t, within(t, 30*time.Second)), "failed")
	stays(t, ctx, trip)
	// The same receiver takes the guest once the link is back.
	if err := w.Lab.Hosts[1].Restore(); err != nil {
		t.Fatal(err)
	}
	interrupted(t, ctx, m.target)
	movesAfterAll(t, ctx, w, trip)
}

func TestReceiverListensOn(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: busy})
	m := startMove(t, ctx, w, trip)
	exec(t, ctx, w.Sites[0], 0, "migrate", "alpha", "--cancel")
	failedAtSource(t, m.end(t, ctx), "cancelled")
	if err := w.Lab.Hosts[1].Shape(0); err != nil {
		t.Fatal(err)
	}
	again, err := w.Sites[0].Migrate(ctx, "alpha", m.target.Listening)
	if err != nil || again.Outcome != "completed" {
		t.Fatalf("got %+v, %v of the second attempt; want it completed\n%s", again, err, m.target.Stderr())
	}
	if err := trip.Observer.WaitBeats(ctx, "target", 1, 40); err != nil {
		t.Error(err)
	}
	if err := trip.Verify(ctx); err != nil {
		t.Error(err)
	}
	exec(t, ctx, w.Sites[1], 0, "stop", "alpha")
	endInOrder(t, ctx, trip.Process, m.target)
}

// killAll kills every process of a site.
func killAll(t *testing.T, s *drive.Site) {
	t.Helper()
	pids, err := s.Processes()
	if err != nil {
		t.Fatal(err)
	}
	if len(pids) < 2 {
		t.Errorf("got processes %v; want a supervisor and a machine", pids)
	}
	for _, pid := range pids {
		p, err := os.FindProcess(pid)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) { // a command ends with its supervisor
			t.Error(err)
		}
	}
}

func TestTargetDies(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: busy})
	m := startMove(t, ctx, w, trip)
	killAll(t, w.Sites[1])
	failedAtSource(t, m.end(t, within(t, 30*time.Second)), "failed")
	if code, err := m.target.Wait(ctx); err != nil || code != 137 {
		t.Errorf("got exit %d, %v; want 137", code, err)
	}
	// What a killed one leaves, the next call clears, once the machine is no more either.
	until(t, ctx, "nothing is left", func() bool {
		list, err := w.Sites[1].PS(ctx)
		return err == nil && len(list) == 0
	})
	movesAfterAll(t, ctx, w, trip)
}

func TestSourceMachineDies(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: busy})
	m := startMove(t, ctx, w, trip)
	info, err := w.Sites[0].Info(ctx, "alpha")
	if err != nil {
		t.Fatal(err)
	}
	machine, err := os.FindProcess(info.PID)
	if err != nil {
		t.Fatal(err)
	}
	if err := machine.Kill(); err != nil {
		t.Fatal(err)
	}
	if got := m.end(t, within(t, 30*time.Second)); got.Code == 0 || got.Outcome == "completed" {
		t.Errorf("got %+v of a move whose guest was killed; want it failed", got)
	}
	if code, err := trip.Process.Wait(ctx); err != nil || code != 137 {
		t.Errorf("got exit %d, %v; want 137\n%s", code, err, trip.Process.Stderr())
	}
	if err := w.Lab.Hosts[1].Shape(0); err != nil {
		t.Fatal(err)
	}
	// The receiver drops the half of a guest that it has.
	until(t, ctx, "the receiver listens again", func() bool {
		list, err := w.Sites[1].PS(ctx)
		return err == nil && len(list) == 1 && list[0].State == "receiving" && list[0].PID == 0
	})
	interrupted(t, ctx, m.target)
}

func TestKillWhileMoving(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: busy})
	m := startMove(t, ctx, w, trip)
	exec(t, ctx, w.Sites[0], 0, "kill", "alpha")
	if code, err := trip.Process.Wait(ctx); err != nil || code != 137 {
		t.Errorf("got exit %d, %v; want 137", code, err)
	}
	if got := m.end(t, within(t, 30*time.Second)); got.Code == 0 {
		t.Errorf("got %+v of a move whose guest was killed; want it failed", got)
	}
	interrupted(t, ctx, m.target)
}
