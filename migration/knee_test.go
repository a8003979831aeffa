package migration

import (
	"testing"
	"time"
)

// TestKnee lets a link run whose rate depends on the number of channels.
func TestKnee(t *testing.T) {
	for _, tc := range []struct {
		name string
		rate func(channels int) float64 // bytes a second
		most int
		want int
	}{
		{"one fills it", func(int) float64 { return 125e6 }, 16, 1},
		{"slower over two", func(n int) float64 { return 1e9 / float64(n) }, 16, 1},
		{"four lanes", func(n int) float64 { return 1e9 * float64(min(n, 4)) }, 16, 4},
		{"four lanes, two processors", func(n int) float64 { return 1e9 * float64(min(n, 4)) }, 2, 2},
		{"ever more", func(n int) float64 { return 1e9 * float64(uint(1)<<n) }, 16, MaxChannels},
		{"a little more", func(n int) float64 { return 1e9 + 5e7*float64(n) }, 16, 1},
	} {
		now, bytes, channels := time.Unix(0, 0), 0.0, 1
		k := &knee{most: tc.most}
		k.restart(now)
		for range 20_000 {
			now = now.Add(time.Millisecond)
			bytes += tc.rate(channels) / 1000
			if !k.due(now) {
				continue
			}
			switch k.see(now, uint64(bytes), channels) {
			case kneeGrow:
				channels++
				k.restart(now)
			case kneeShrink:
				channels--
			}
		}
		if channels != tc.want || !k.settled {
			t.Errorf("%s: got %d channels, settled %v; want %d", tc.name, channels, k.settled, tc.want)
		}
	}
}
