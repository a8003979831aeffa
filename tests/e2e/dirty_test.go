package e2e

import (
	"testing"
	"time"

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
