package e2e

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

// state wants the only machine of a site to be in a state.
func state(t *testing.T, ctx context.Context, s *drive.Site, want string) {
	t.Helper()
	list, err := s.PS(ctx)
	if err != nil || len(list) != 1 || list[0].State != want {
		t.Errorf("got %+v, %v; want one machine, %s", list, err, want)
	}
}

// wakes resumes the guest of a process and wants it to beat, whole, and to end well.
func wakes(t *testing.T, ctx context.Context, s *drive.Site, o *lab.Observer, p *drive.Process) {
	t.Helper()
	state(t, ctx, s, "paused")
	exec(t, ctx, s, 0, "resume", "alpha")
	if err := o.WaitBeats(ctx, p.Stream.Name, 1, 40); err != nil {
		t.Fatalf("%v\nstderr: %s", err, p.Stderr())
	}
	ends(t, ctx, s, "alpha", o, p)
}

func TestPausedGuestArrivesPaused(t *testing.T) {
	for _, mode := range []string{"precopy", "stopcopy"} {
		t.Run(mode, func(t *testing.T) {
			ctx := within(t, 2*time.Minute)
			w := newWorld(t, 2)
			trip := boot(t, ctx, w, drive.Guest{CPUs: 2, Cmdline: busy})
			exec(t, ctx, w.Sites[0], 0, "pause", "alpha")
			target, err := w.Sites[1].Receive(trip.Observer, "target")
			if err != nil {
				t.Fatal(err)
			}
			m, err := w.Sites[0].Migrate(ctx, "alpha", target.Listening, "--mode", mode)
			if err != nil || m.Outcome != "completed" || m.DowntimeMS != 0 {
				t.Fatalf("got %+v, %v; want it completed without a downtime", m, err)
			}
			for i, r := range m.Rounds {
				if i > 0 && r.Pages > 16 { // what saving the state writes
					t.Errorf("got %d pages in round %d of a paused guest; want one round\n%+v", r.Pages, i, m.Rounds)
				}
			}
			if code, err := trip.Process.Wait(ctx); err != nil || code != 0 {
				t.Errorf("got exit %d, %v at the source; want 0", code, err)
			}
			wakes(t, ctx, w.Sites[1], trip.Observer, target)
		})
	}
}

// A paused guest whose memory is pulled can be resumed before it is whole; its devices work then.
func TestPausedGuestIsPulled(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(disk, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	trip := boot(t, ctx, w, drive.Guest{Cmdline: busy + " blkverify=1", Args: []string{"--disk", "d=" + disk}})
	exec(t, ctx, w.Sites[0], 0, "pause", "alpha")
	m := startMove(t, ctx, w, trip, "--mode", "postcopy")
	until(t, ctx, "the guest is at the target", func() bool {
		list, err := w.Sites[1].PS(ctx)
		return err == nil && len(list) == 1 && list[0].State == "paused"
	})
	exec(t, ctx, w.Sites[1], 0, "resume", "alpha")
	if err := w.Lab.Hosts[1].Shape(0); err != nil {
		t.Fatal(err)
	}
	if err := trip.Observer.WaitBeats(ctx, "target", 1, 40); err != nil {
		t.Error(err)
	}
	if got := m.end(t, ctx); got.Outcome != "completed" || got.PulledPages == 0 {
		t.Errorf("got %+v; want it completed by pulling", got)
	}
	before := trip.Observer.Stat().Values["blk_done"]
	if _, err := trip.Observer.WaitStat(ctx, func(s lab.Stat) bool { return s.Values["blk_done"] > before }); err != nil {
		t.Errorf("the disk does not work: %v", err)
	}
	state(t, ctx, w.Sites[1], "running")
	ends(t, ctx, w.Sites[1], "alpha", trip.Observer, m.target)
}

// A guest that is paused while it is pushed arrives so; one that is resumed again runs.
func TestPauseWhileMoving(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: busy})
	m := startMove(t, ctx, w, trip)
	exec(t, ctx, w.Sites[0], 0, "pause", "alpha")
	exec(t, ctx, w.Sites[0], 0, "resume", "alpha")
	stillBeats(t, ctx, trip)
	state(t, ctx, w.Sites[0], "migrating")
	exec(t, ctx, w.Sites[0], 0, "pause", "alpha")
	state(t, ctx, w.Sites[0], "migrating")
	if got := m.end(t, ctx); got.Outcome != "completed" || got.DowntimeMS != 0 {
		t.Fatalf("got %+v; want it completed without a downtime", got)
	}
	wakes(t, ctx, w.Sites[1], trip.Observer, m.target)
}

// A paused guest whose move is cancelled is paused where it was.
func TestCancelOfAPausedGuest(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: busy})
	exec(t, ctx, w.Sites[0], 0, "pause", "alpha")
	m := startMove(t, ctx, w, trip)
	exec(t, ctx, w.Sites[0], 0, "migrate", "alpha", "--cancel")
	failedAtSource(t, m.end(t, ctx), "cancelled")
	interrupted(t, ctx, m.target)
	wakes(t, ctx, w.Sites[0], trip.Observer, trip.Process)
}

func TestSnapshotOfAPausedGuest(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: busy})
	exec(t, ctx, w.Sites[0], 0, "pause", "alpha")
	dir := filepath.Join(t.TempDir(), "snap")
	exec(t, ctx, w.Sites[0], 0, "snapshot", "alpha", dir)
	state(t, ctx, w.Sites[0], "paused")
	o := lab.NewObserver(drive.Period)
	p, err := w.Sites[1].Start(o, "restored", "restore", dir)
	if err != nil {
		t.Fatal(err)
	}
	until(t, ctx, "the guest is restored", func() bool {
		list, err := w.Sites[1].PS(ctx)
		return err == nil && len(list) == 1 && list[0].State == "paused"
	})
	wakes(t, ctx, w.Sites[1], o, p)
	wakes(t, ctx, w.Sites[0], trip.Observer, trip.Process)
}

// TestPauseBeforeSwitchover: the guest stands still, at the source, until the move is continued or cancelled.
func TestPauseBeforeSwitchover(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{CPUs: 2, Cmdline: busy})
	failure(t, exec(t, ctx, w.Sites[0], 1, "migrate", "alpha", "--continue", "--json"), "bad_state")
	begin := func() *moving {
		t.Helper()
		m := startMove(t, ctx, w, trip, "--pause-before-switchover")
		failure(t, exec(t, ctx, w.Sites[0], 1, "migrate", "alpha", "--continue", "--json"), "bad_state")
		if err := w.Lab.Hosts[1].Shape(0); err != nil {
			t.Fatal(err)
		}
		until(t, ctx, "the move waits", func() bool {
			list, err := w.Sites[0].PS(ctx)
			return err == nil && len(list) == 1 && list[0].State == "waiting"
		})
		return m
	}
	m := begin()
	failure(t, exec(t, ctx, w.Sites[0], 1, "resume", "alpha", "--json"), "bad_state")
	failure(t, exec(t, ctx, w.Sites[0], 1, "stop", "alpha", "--json"), "bad_state")
	state(t, ctx, w.Sites[1], "receiving")
	exec(t, ctx, w.Sites[0], 0, "migrate", "alpha", "--cancel")
	failedAtSource(t, m.end(t, ctx), "cancelled")
	interrupted(t, ctx, m.target)
	stays(t, ctx, trip)

	m = begin()
	exec(t, ctx, w.Sites[0], 0, "migrate", "alpha", "--continue")
	if got := m.end(t, ctx); got.Outcome != "completed" || got.Downtime.PauseMS <= 0 {
		t.Errorf("got %+v; want it completed", got)
	}
	if err := trip.Observer.WaitBeats(ctx, "target", 1, 40); err != nil {
		t.Error(err)
	}
	ends(t, ctx, w.Sites[1], "alpha", trip.Observer, m.target)
}

// stillBeats wants the guest to run on where it is, whatever its machine does.
func stillBeats(t *testing.T, ctx context.Context, trip *drive.Trip) {
	t.Helper()
	if err := trip.Observer.WaitBeats(ctx, trip.Process.Stream.Name, 1, 20); err != nil {
		t.Errorf("the guest does not go on: %v", err)
	}
}
