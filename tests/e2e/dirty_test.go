package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

// TestTrackings moves a guest that writes much from a host with one kind of dirty log to one with the other,
// and on from there.
func TestTrackings(t *testing.T) {
	for _, kinds := range [][2]string{{"ring", "bitmap"}, {"bitmap", "ring"}} {
		t.Run(kinds[0]+" to "+kinds[1], func(t *testing.T) {
			ctx := within(t, 2*time.Minute)
			w := newWorld(t, 2)
			trip := boot(t, ctx, w, drive.Guest{
				CPUs: 2, Cmdline: "fill=48 wss=32 rate=32 order=rand countreg=1",
				Args: []string{"--dirty-tracking", kinds[0]}, Receive: []string{"--dirty-tracking", kinds[1]},
			})
			for n := range 2 {
				if got, want := info(t, ctx, trip).DirtyTracking, kinds[min(n, 1)]; got != want {
					t.Errorf("before move %d: got %s; want %s", n+1, got, want)
				}
				m := completes(t, ctx, trip)
				t.Logf("from %s: gap %v, downtime %.1f ms, total %.0f ms, %d rounds, %.1f MiB", kinds[min(n, 1)], m.Gap(), m.DowntimeMS, m.TotalMS,
					len(m.Rounds), float64(m.PageBytes)/(1<<20))
			}
			if err := trip.Verify(ctx); err != nil {
				t.Error(err)
			}
			stop(t, ctx, trip)
		})
	}
}

// TestThrottle moves a guest that writes faster than the link takes, which no round would ever keep up with.
func TestThrottle(t *testing.T) {
	const link = 150_000_000 // bits a second
	for _, kind := range []string{"bitmap", "ring"} {
		t.Run(kind, func(t *testing.T) {
			ctx := within(t, 2*time.Minute)
			w := newWorld(t, 2)
			trip := boot(t, ctx, w, drive.Guest{Cmdline: "fill=24 wss=16 rate=40", Args: []string{"--dirty-tracking", kind}})
			if err := w.Lab.Hosts[1].Shape(link); err != nil {
				t.Fatal(err)
			}
			m := completes(t, ctx, trip, "--mode", "precopy", "--throttle", "99", "--compress", "off", "--downtime-limit", "100ms")
			t.Logf("throttled up to %d %% for %.0f ms of %.0f ms; %d rounds, downtime %.1f ms, gap %v", m.Throttle.MaxPercent, m.Throttle.MS,
				m.TotalMS, len(m.Rounds), m.DowntimeMS, m.Gap())
			if m.Throttle.MaxPercent == 0 || m.Throttle.MS <= 0 || m.Throttle.MS > m.TotalMS {
				t.Errorf("got throttled %+v of %.0f ms; want some", m.Throttle, m.TotalMS)
			}
			if err := w.Lab.Hosts[1].Shape(0); err != nil {
				t.Fatal(err)
			}
			if err := trip.Verify(ctx); err != nil {
				t.Error(err)
			}
			stop(t, ctx, trip)
		})
	}
}

// dirtyRate is the object that dirty-rate prints.
type dirtyRate struct {
	Name       string  `json:"name"`
	DurationMS float64 `json:"duration_ms"`
	DirtyPages uint64  `json:"dirty_pages"`
	DirtyMiBS  float64 `json:"dirty_mib_s"`
	VCPUs      []struct {
		CPU   int     `json:"cpu"`
		Pages uint64  `json:"pages"`
		MiBS  float64 `json:"mib_s"`
	} `json:"vcpus"`
}

// TestDirtyRate measures a guest that writes as much as it is told, in order, through a part of its memory that is larger than that.
func TestDirtyRate(t *testing.T) {
	const rate = 8 // MiB/s
	for _, kind := range []string{"bitmap", "ring"} {
		t.Run(kind, func(t *testing.T) {
			ctx := within(t, time.Minute)
			w := newWorld(t, 1)
			trip := boot(t, ctx, w, drive.Guest{CPUs: 2, Cmdline: "fill=64 wss=64 rate=8", Args: []string{"--dirty-tracking", kind}})
			if _, err := trip.Observer.WaitStat(ctx, func(s lab.Stat) bool { return s.Values["write_mib_s"] > rate/2 }); err != nil {
				t.Fatal(err)
			}
			var got dirtyRate
			d, err := w.Sites[0].Object(ctx, &got, "dirty-rate", "alpha", "--duration", "1500ms")
			if err != nil || d.Code != 0 {
				t.Fatalf("got %v; want a rate\n%s", err, d)
			}
			t.Logf("%+v", got)
			if got.Name != "alpha" || got.DurationMS < 1500 || got.DirtyMiBS < rate/8 || got.DirtyMiBS > rate*2 {
				t.Errorf("got %+v; want about %d MiB/s, over 1.5 s", got, rate)
			}
			if mib := float64(got.DirtyPages) / 256; mib < got.DirtyMiBS || mib > got.DirtyMiBS*got.DurationMS/1000*1.01 {
				t.Errorf("got %d pages; want them to agree with the rate: %+v", got.DirtyPages, got)
			}
			var sum uint64
			for i, c := range got.VCPUs {
				if c.CPU != i || c.Pages == 0 || c.MiBS <= 0 {
					t.Errorf("got %+v; want both vCPUs, each writing", got.VCPUs)
				}
				sum += c.Pages
			}
			if kind == "ring" && (len(got.VCPUs) != 2 || sum > got.DirtyPages) || kind == "bitmap" && got.VCPUs != nil {
				t.Errorf("got %+v; want a number for each vCPU with the ring, whose sum is at most %d, and none else", got.VCPUs, got.DirtyPages)
			}
			stop(t, ctx, trip)
		})
	}
}

// TestDirtyRateExcludes wants that a guest is either moved or measured.
func TestDirtyRateExcludes(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{})
	m := startMove(t, ctx, w, trip)
	failure(t, exec(t, ctx, w.Sites[0], 1, "dirty-rate", "alpha", "--json"), "bad_state")
	exec(t, ctx, w.Sites[0], 0, "migrate", "alpha", "--cancel")
	failedAtSource(t, m.end(t, ctx), "cancelled")
	measured := make(chan drive.Done, 1)
	go func() {
		d, err := w.Sites[0].Exec(ctx, "dirty-rate", "alpha", "--duration", "1m", "--json")
		for err == nil && strings.Contains(d.Stdout, "bad_state") { // one of those below was in its way
			d, err = w.Sites[0].Exec(ctx, "dirty-rate", "alpha", "--duration", "1m", "--json")
		}
		measured <- d
	}()
	until(t, ctx, "the rate is measured", func() bool {
		d, err := w.Sites[0].Exec(ctx, "dirty-rate", "alpha", "--duration", "1ms", "--json")
		return err == nil && d.Code == 1
	})
	move, err := w.Sites[0].Migrate(ctx, "alpha", m.target.Listening)
	if err != nil || move.Outcome != "failed" || move.Error.Code != "bad_state" {
		t.Fatalf("got %+v, %v; want it refused: the rate is measured", move, err)
	}
	failure(t, exec(t, ctx, w.Sites[0], 1, "dirty-rate", "alpha", "--json"), "bad_state")
	exec(t, ctx, w.Sites[0], 0, "migrate", "alpha", "--cancel")
	if d := <-measured; d.Code != 1 {
		t.Errorf("a measurement that was ended: got exit %d; want 1\n%s", d.Code, d)
	}
	exec(t, ctx, w.Sites[0], 0, "pause", "alpha")
	failure(t, exec(t, ctx, w.Sites[0], 1, "dirty-rate", "alpha", "--json"), "bad_state")
	exec(t, ctx, w.Sites[0], 0, "resume", "alpha")
	failure(t, exec(t, ctx, w.Sites[0], 2, "dirty-rate", "alpha", "--duration", "2m", "--json"), "usage")
	interrupted(t, ctx, m.target)
	movesAfterAll(t, ctx, w, trip)
}
