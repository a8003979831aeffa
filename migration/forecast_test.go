package migration

import (
	"testing"
	"time"
)

// at is a forecast with a limit of 50 ms on a link of 100 MiB/s, and 10 ms of fixed costs.
func at() forecast {
	f := forecast{limit: 50 * time.Millisecond, rehearsal: 5 * time.Millisecond, save: 3 * time.Millisecond, roundTrip: time.Millisecond}
	f.sent(100<<20, time.Second+time.Millisecond)
	return f
}

func TestForecast(t *testing.T) {
	f := at()
	if got, want := f.bandwidth(), float64(100<<20); got < want*0.999 || got > want*1.001 {
		t.Errorf("bandwidth: got %v; want %v", got, want)
	}
	// 1 MiB is 256 pages and takes 10 ms.
	if got, want := f.downtime(256).Round(time.Microsecond), 20*time.Millisecond; got != want {
		t.Errorf("downtime: got %v; want %v", got, want)
	}
}

func TestStopRule(t *testing.T) {
	for name, tc := range map[string]struct {
		rounds int
		pages  []uint64 // pending after each round
		want   bool     // after the last
	}{
		"above the limit":             {3, []uint64{1100}, false},
		"nothing left":                {1, []uint64{0}, true},
		"little left after the first": {1, []uint64{20}, true},
		"some left after the first":   {1, []uint64{500}, false},
		"still shrinking":             {2, []uint64{900, 400}, false},
		"shrinking no more":           {3, []uint64{900, 400, 300}, true},
		"grown, within the limit":     {2, []uint64{400, 700}, true},
		"grown above the limit":       {2, []uint64{400, 1100}, false},
	} {
		f := at()
		var got bool
		for i, p := range tc.pages {
			got = f.stop(tc.rounds-len(tc.pages)+1+i, p)
		}
		if got != tc.want {
			t.Errorf("%s: got stop %v; want %v", name, got, tc.want)
		}
	}
}

// TestStopIsNotPutOff: a guest whose pending set goes up and down is stopped in the end.
func TestStopIsNotPutOff(t *testing.T) {
	f := at()
	for round := 1; round < 20; round++ {
		if f.stop(round, uint64(900/(round%3+1)+30)) {
			return
		}
	}
	t.Error("within the limit for 20 rounds, and never stopped")
}

func TestUnknownBandwidthDoesNotStop(t *testing.T) {
	f := forecast{limit: time.Second}
	f.sent(0, time.Millisecond)
	if f.stop(2, 100_000) {
		t.Error("stopped with 400 MB left and no idea of the bandwidth")
	}
	if !f.stop(3, tinyPages) {
		t.Error("not stopped with next to nothing left")
	}
}

func TestAbandon(t *testing.T) {
	f := at()
	if f.abandon(3*time.Millisecond, 256) {
		t.Error("abandoned within the limit")
	}
	if f.abandon(time.Second, 1) {
		t.Error("abandoned for a page, the harm being done")
	}
	if !f.abandon(20*time.Millisecond, 2560) || f.seen != 20*time.Millisecond {
		t.Errorf("not abandoned above the limit, or not learnt from: %v", f.seen)
	}
	if f.stop(5, 1000) {
		t.Error("stopped although what the last attempt cost does not fit")
	}
}

// A stop that took long because the host was busy must not keep a guest that
// never goes quiet from being stopped for ever.
func TestOneUnluckyStopIsForgotten(t *testing.T) {
	f := forecast{limit: 50 * time.Millisecond, rehearsal: time.Millisecond, save: time.Millisecond}
	f.sent(64<<20, 64*time.Millisecond)
	if !f.abandon(100*time.Millisecond, 2048) {
		t.Fatal("not abandoned far above the limit")
	}
	if f.stop(3, 2048) {
		t.Error("stopped again at once, though the last stop took twice the limit")
	}
	for round := range 8 {
		f.sent(8<<20, 8*time.Millisecond)
		if f.stop(4+round, 2048) {
			return
		}
	}
	t.Error("never stopped again")
}

// A round trip measured while the target was building is longer than a small
// round: the link must not look endless for it.
func TestLongRoundTripDoesNotHideTheLink(t *testing.T) {
	f := forecast{limit: 50 * time.Millisecond, roundTrip: 20 * time.Millisecond}
	f.sent(10<<20, 10*time.Millisecond)
	if got, limit := f.bandwidth(), float64(2*10<<20)/0.010; got > limit*1.001 {
		t.Errorf("got %.0f MiB/s; want at most %.0f, twice what was seen", got/(1<<20), limit/(1<<20))
	}
}

// TestForecastOfALimitedMove: the last round has all of the line, whatever those before were given.
func TestForecastOfALimitedMove(t *testing.T) {
	f := forecast{limit: 50 * time.Millisecond}
	f.sent(10<<20, time.Second) // 10 MiB/s
	if f.stop(3, 2560) {
		t.Error("stopped with a second's worth left")
	}
	f.line = 1000 << 20
	if got, want := f.downtime(2560), 10*time.Millisecond; got != want {
		t.Errorf("got a downtime of %v; want %v", got, want)
	}
	if !f.stop(3, 2560) {
		t.Error("went on with 10 ms' worth left")
	}
	f.line = 1 << 20 // a lull in what the kernel saw is no reason to believe less than was measured
	if got, want := f.downtime(2560), time.Second; got != want {
		t.Errorf("got a downtime of %v; want %v", got, want)
	}
}
