package e2e

import (
	"testing"
	"time"

	"github.com/ferryvmm/ferry/tests/drive"
)

// TestPullModes moves a writing guest there and back in every mode that pulls.
func TestPullModes(t *testing.T) {
	for _, mode := range []string{"postcopy", "hybrid", "auto"} {
		t.Run(mode, func(t *testing.T) {
			ctx := within(t, 2*time.Minute)
			w := newWorld(t, 2)
			trip := boot(t, ctx, w, drive.Guest{CPUs: 2, Cmdline: "fill=32 wss=16 rate=8 order=rand cpus=2 countreg=1"})
			for range 2 {
				m := completes(t, ctx, trip, "--mode", mode)
				if mode != "auto" && (m.Mode != mode || m.PulledPages == 0) {
					t.Errorf("got mode %s, %d pages pulled; want %s, some", m.Mode, m.PulledPages, mode)
				}
				if m.PageBytes < m.ResidentBytes*9/10 || m.PageBytes > 2*m.ResidentBytes {
					t.Errorf("got %d bytes of pages of %d resident; want none twice but what was written", m.PageBytes, m.ResidentBytes)
				}
				t.Logf("%s: %.1f ms, down %.1f ms, %d pages pulled, %d urgent, faults %+v", m.Mode, m.TotalMS, m.DowntimeMS, m.PulledPages, m.UrgentPages, m.Faults)
			}
			if err := trip.Verify(ctx); err != nil {
				t.Error(err)
			}
			stop(t, ctx, trip)
		})
	}
}

// TestPullOutlastsACut: a link that is lost in a pull holds who needs a page, and
// nobody else; pause and resume answer meanwhile.
func TestPullOutlastsACut(t *testing.T) { outlastACut(t, newWorld(t, 2)) }

func outlastACut(t *testing.T, w *drive.World) {
	t.Helper()
	ctx := within(t, 3*time.Minute)
	trip := boot(t, ctx, w, drive.Guest{CPUs: 2, Memory: 128, Cmdline: "fill=64 wss=32 rate=4 order=rand cpus=2"})
	m := startMove(t, ctx, w, trip, "--mode", "postcopy")
	until(t, ctx, "the guest is pulling", func() bool {
		list, err := w.Sites[1].PS(ctx)
		return err == nil && len(list) == 1 && list[0].State == "pulling"
	})
	if err := w.Lab.Hosts[1].Cut(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	exec(t, ctx, w.Sites[1], 0, "pause", "alpha")
	exec(t, ctx, w.Sites[1], 0, "resume", "alpha")
	failure(t, exec(t, ctx, w.Sites[1], 1, "snapshot", "alpha", t.TempDir(), "--json"))
	failure(t, exec(t, ctx, w.Sites[0], 1, "migrate", "alpha", "--cancel", "--json"))
	until(t, ctx, "the cut has lasted long enough to be noticed", func() bool { return time.Since(began) > 4*time.Second })
	if err := w.Lab.Hosts[1].Restore(); err != nil {
		t.Fatal(err)
	}
	if err := w.Lab.Hosts[1].Shape(0); err != nil {
		t.Fatal(err)
	}
	got := m.end(t, ctx)
	if got.Outcome != "completed" || got.Rejoins == 0 {
		t.Errorf("got %+v; want it completed over another link", got)
	}
	trip.Arrived(m.target)
	if err := trip.Verify(ctx); err != nil {
		t.Error(err)
	}
	stop(t, ctx, trip)
}

// TestRemotePull: memory stays at the source until it is asked for.
func TestRemotePull(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: "fill=32 wss=2 rate=1"})
	target, err := w.Sites[1].Receive(trip.Observer, "target")
	if err != nil {
		t.Fatal(err)
	}
	m, err := w.Sites[0].Migrate(ctx, "alpha", target.Listening, "--mode", "remote")
	if err != nil || m.Outcome != "completed" || m.Mode != "remote" || m.Code != 0 {
		t.Fatalf("got %+v, %v; want it completed", m, err)
	}
	for i, want := range []string{"serving", "pulling"} {
		if list, err := w.Sites[i].PS(ctx); err != nil || len(list) != 1 || list[0].State != want {
			t.Errorf("host %d: got %+v, %v; want it %s", i, list, err, want)
		}
	}
	exec(t, ctx, w.Sites[1], 0, "migrate", "alpha", "--pull")
	if code, err := trip.Process.Wait(ctx); err != nil || code != 0 {
		t.Errorf("got exit %d, %v at the source; want 0", code, err)
	}
	failure(t, exec(t, ctx, w.Sites[1], 1, "migrate", "alpha", "--pull", "--json"))
	trip.Arrived(target)
	if err := trip.Verify(ctx); err != nil {
		t.Error(err)
	}
	stop(t, ctx, trip)
}
