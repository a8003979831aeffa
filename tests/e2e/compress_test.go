package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/tests/drive"
)

// TestCompress moves a writing guest there and back with each compression, pushed and pulled, over a link for which that is worth it.
func TestCompress(t *testing.T) {
	for _, data := range []string{"text", "half", "mixed"} {
		t.Run(data, func(t *testing.T) {
			ctx := within(t, 3*time.Minute)
			w := newWorld(t, 2)
			trip := boot(t, ctx, w, drive.Guest{Cmdline: fmt.Sprintf("fill=24 wss=4 rate=4 order=rand data=%s countreg=1", data)})
			for i, how := range []string{"auto", "s2", "zstd", "delta", "off"} {
				mode := []string{"precopy", "postcopy"}[i%2]
				if data == "half" {
					mode = []string{"hybrid", "precopy"}[i%2]
				}
				m := completes(t, ctx, trip, "--mode", mode, "--compress", how, "--bandwidth", "400M")
				t.Logf("%s %s: %.0f ms, %d KiB sent for %d KiB: %+v", mode, how, m.TotalMS, m.SentBytes>>10, m.ResidentBytes>>10, m.Compress)
				if m.Compress.Requested != how {
					t.Errorf("got %+v; want %s", m.Compress, how)
				}
				saved := uint64(0)
				for _, c := range m.Compress.Codecs {
					saved += c.InBytes - c.OutBytes
				}
				if how == "auto" && saved == 0 { // a busy host packs less than others
					t.Errorf("%s %s of %s: got %+v; want some packed", mode, how, data, m.Compress)
				}
				if packs := how == "s2" || how == "zstd"; packs && m.PageBytes > m.ResidentBytes*9/10 {
					t.Errorf("%s %s of %s: got %d bytes of pages of %d; want fewer", mode, how, data, m.PageBytes, m.ResidentBytes)
				}
			}
			if err := trip.Verify(ctx); err != nil {
				t.Error(err)
			}
			stop(t, ctx, trip)
		})
	}
}
