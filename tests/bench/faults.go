package main

import (
	"context"
	"fmt"

	"github.com/ferryvmm/ferry/tests/qemu"
)

// The goals of a fault: shares of QEMU's.
const (
	faultGoal    = 0.5  // of the median
	pullGapGoal  = 0.25 // of the largest gap
	faultMemory  = 1024 // MiB
	faultCmdline = "touches=1 fill=512 wss=1 rate=0 verify=0 read=100 order=rand"
)

// faultLinks are the links of a pull, in bit/s.
var faultLinks = []uint64{1e9, 10e9}

// faults is how long a guest waited for its pages while it was pulled: medians over samples.
type faults struct {
	VMM      string  `json:"vmm"`
	LinkBits uint64  `json:"link_bits_per_s"`
	Samples  int     `json:"samples"`
	Count    float64 `json:"faults"` // first touches over 50 us, as the guest timed them
	Short    float64 `json:"short_share"`
	P50US    float64 `json:"p50_us"`
	P99US    float64 `json:"p99_us"`
	GapMS    float64 `json:"largest_gap_ms"` // over the whole move
	TotalMS  float64 `json:"total_ms"`
	// Ratios are Ferry's shares of QEMU's, and 0 without it.
	P50Ratio float64 `json:"p50_ratio,omitempty"`
	GapRatio float64 `json:"gap_ratio,omitempty"`
	// RequestUS is Ferry's own median, from request to wake.
	RequestUS float64 `json:"request_to_wake_p50_us,omitempty"`
	// Limit is what nobody can be quicker than.
	Limit *limit `json:"limit,omitempty"`

	all []rode
}

func (r rode) touchP50() float64   { return touchedBetween(r.before, r.after).quantile(0.5) }
func (r rode) touchP99() float64   { return touchedBetween(r.before, r.after).quantile(0.99) }
func (r rode) touchCount() float64 { return touchedBetween(r.before, r.after).count() }
func (r rode) touchShort() float64 { return touchedBetween(r.before, r.after).short() }

// faults pulls guests over each link, in turn with QEMU.
func (b bench) faults(ctx context.Context, into *results) error {
	for _, link := range faultLinks {
		list, err := b.pulls(ctx, link)
		if err != nil {
			return fmt.Errorf("%d bit/s: %w", link, err)
		}
		into.Faults = append(into.Faults, list...)
	}
	return nil
}

func (b bench) pulls(ctx context.Context, link uint64) ([]faults, error) {
	r := ride{memory: faultMemory, cmdline: faultCmdline, link: link}
	list := []faults{{VMM: "ferry"}}
	if b.qemu.Path != "" {
		list = append(list, faults{VMM: "qemu " + b.qemu.Version + ", preempt"})
	}
	for n := range b.samples {
		for i := range list {
			var got rode
			var err error
			if i == 0 {
				got, err = b.ferryRide(ctx, r, "--mode", "postcopy")
			} else {
				got, err = b.qemuRide(ctx, r, qemu.MigrateOptions{Postcopy: true, MaxBandwidth: qemu.Unlimited})
			}
			if err == nil && !got.completed {
				err = fmt.Errorf("the move did not complete")
			}
			if err == nil && got.touchCount() == 0 {
				err = fmt.Errorf("the guest waited for no page")
			}
			if err != nil {
				return nil, fmt.Errorf("%s, sample %d: %w", list[i].VMM, n+1, err)
			}
			b.record.pull(what{"faults", list[i].VMM, fmt.Sprintf("%g Gbit/s", float64(link)/1e9), 0, n}, got)
			list[i].all = append(list[i].all, got)
		}
	}
	l, err := measureLimit(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("the limit: %w", err)
	}
	for i := range list {
		list[i].summarize(link)
	}
	list[0].Limit, list[0].RequestUS = l, medianOf(list[0].all, rode.faultsUS)
	printPulls(list)
	return list, nil
}

func (f *faults) summarize(link uint64) {
	f.LinkBits, f.Samples = link, len(f.all)
	f.Count, f.Short = medianOf(f.all, rode.touchCount), medianOf(f.all, rode.touchShort)
	f.P50US, f.P99US = medianOf(f.all, rode.touchP50), medianOf(f.all, rode.touchP99)
	f.GapMS, f.TotalMS = medianOf(f.all, rode.gapMS), medianOf(f.all, rode.totalMS)
}

func printPulls(list []faults) {
	ours := &list[0]
	fmt.Printf("post-copy of %d MiB, %q, over %g Gbit/s; medians of %d\n", faultMemory, faultCmdline, float64(ours.LinkBits)/1e9, ours.Samples)
	fmt.Printf("%-24s %8s %8s %8s %8s %8s %8s\n", "", "faults", "(short)", "p50 us", "p99 us", "gap ms", "total ms")
	for _, f := range list {
		fmt.Printf("%-24s %8.0f %7.0f%% %8.0f %8.0f %8.1f %8.0f\n", f.VMM, f.Count, 100*f.Short, f.P50US, f.P99US, f.GapMS, f.TotalMS)
	}
	l := ours.Limit
	fmt.Printf("ferry's fault is %.0f us: %.0f from request to wake, %.0f in the guest and before the request; the limit is %.0f (round trip %.0f, copy and continue %.0f): %.1f times that\n",
		ours.P50US, ours.RequestUS, ours.P50US-ours.RequestUS, l.total(), l.RoundTripUS, l.PlaceUS, ours.P50US/l.total())
	if len(list) == 1 {
		return
	}
	ours.P50Ratio, ours.GapRatio = ours.P50US/list[1].P50US, ours.GapMS/list[1].GapMS
	fmt.Printf("p50 is %.2f of QEMU's, goal: at most %.2f: %s; p99 is %.2f of it; the largest gap is %.2f of QEMU's, goal: at most %.2f: %s\n",
		ours.P50Ratio, faultGoal, verdict(ours.P50Ratio <= faultGoal), ours.P99US/list[1].P99US,
		ours.GapRatio, pullGapGoal, verdict(ours.GapRatio <= pullGapGoal))
}
