package e2e

import (
	"testing"
	"time"

	"github.com/ferryvmm/ferry/tests/drive"
)

// TestChannels moves a guest that writes over several connections, there and back.
func TestChannels(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: "fill=32 wss=4 rate=20 countreg=1"})
	for _, mode := range []string{"precopy", "hybrid"} {
		m := completes(t, ctx, trip, "--mode", mode, "--channels", "4")
		t.Logf("%s: %.0f ms, gap %v, downtime %.1f ms, channels %+v", mode, m.TotalMS, m.Gap(), m.DowntimeMS, m.Channels)
		if len(m.Channels) != 4 {
			t.Errorf("%s: got channels %+v; want 4", mode, m.Channels)
		}
		if err := trip.Verify(ctx); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
	stop(t, ctx, trip)
}
