package e2e

import (
	"testing"
	"time"

	"github.com/ferryvmm/ferry/tests/drive"
)

// TestBandwidth limits a move of a guest that writes faster than the limit.
func TestBandwidth(t *testing.T) {
	const limit = 100e6
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: "fill=32 wss=4 rate=20 countreg=1"})
	m := completes(t, ctx, trip, "--mode", "precopy", "--bandwidth", "100M", "--timeout", "1m")
	last := m.Rounds[len(m.Rounds)-1]
	push := m.TotalMS - m.DowntimeMS
	rate := 8 * float64(m.SentBytes-last.Bytes) / push * 1000
	t.Logf("%.1f Mbit/s over %.0f ms in %d rounds; last round %d KiB, gap %v, downtime %.1f ms %+v",
		rate/1e6, push, len(m.Rounds), last.Bytes>>10, m.Gap(), m.DowntimeMS, m.Downtime)
	if rate > limit*1.05 {
		t.Errorf("got %.1f Mbit/s; want %.1f at most", rate/1e6, limit/1e6)
	}
	if err := trip.Verify(ctx); err != nil {
		t.Error(err)
	}
	stop(t, ctx, trip)
}
