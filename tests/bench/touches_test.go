package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/internal/lab"
)

func TestTouched(t *testing.T) {
	before := lab.Stat{Values: map[string]float64{"touches": 10, "touch_57": 1, "touch_131": 2}}
	after := lab.Stat{Values: map[string]float64{"touches": 30, "touch_57": 1, "touch_65": 4, "touch_131": 8, "touch_p50_us": 99}}
	got := touchedBetween(before, after)
	type summary struct{ Count, Short, P50, P99, All float64 }
	// 4 between 57.344 and 65.536, 6 between 114.688 and 131.072 us.
	want := summary{Count: 10, Short: 0.5, P50: 114.688 + 16.384/6, P99: 114.688 + 16.384*5.9/6, All: 131.072}
	s := summary{got.count(), got.short(), got.quantile(0.5), got.quantile(0.99), got.quantile(1)}
	near := cmp.Comparer(func(a, b float64) bool { return a-b < 1e-6 && b-a < 1e-6 })
	if diff := cmp.Diff(want, s, near); diff != "" {
		t.Errorf("touchedBetween (-want +got):\n%s", diff)
	}
	if got := (touches{}).quantile(0.5); got != 0 {
		t.Errorf("quantile of nothing: got %v; want 0", got)
	}
}
