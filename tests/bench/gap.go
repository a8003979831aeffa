package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ferryvmm/ferry/tests/qemu"
)

const (
	gapGoal    = 8.0 // ms
	gapGrowth  = 2.0 // ms, of a large guest beyond a small one
	gapLimit   = 5   // ms, of downtime, for both VMMs
	gapLink    = 10e9
	gapTimeout = 20 * time.Second // a move that takes longer counts as a gap of that
)

// gaps are downtimes of a writing guest, seen from outside: medians, in ms.
type gaps struct {
	Way        string  `json:"way"`
	MemoryMiB  int     `json:"memory_mib"`
	Samples    int     `json:"samples"`
	Unfinished int     `json:"unfinished"` // moves that did not end
	GapMS      float64 `json:"observed_downtime_ms"`
	MinMS      float64 `json:"observed_min_ms"`
	MaxMS      float64 `json:"observed_max_ms"`
	ReportedMS float64 `json:"reported_downtime_ms"`
	TotalMS    float64 `json:"total_ms"`
	Dirtied    float64 `json:"dirty_mib_s"` // that the guest achieved in the second before

	fill int // MiB
	qemu bool
	all  []rode
}

func (g *gaps) cmdline() string { return fmt.Sprintf("fill=%d wss=32 rate=32", g.fill) }

// gap moves guests that write 32 MiB/s, of several sizes and one of them also with QEMU, in turn.
func (b bench) gap(ctx context.Context, into *results) error {
	list := []gaps{
		{Way: "ferry", MemoryMiB: 256, fill: 128}, {Way: "ferry", MemoryMiB: 8 << 10, fill: 512}, {Way: "ferry", MemoryMiB: 1 << 10, fill: 256},
	}
	if b.qemu.Path != "" {
		list = append(list, gaps{Way: "qemu " + b.qemu.Version + ", multifd", MemoryMiB: 1 << 10, fill: 256, qemu: true})
	}
	for n := range b.samples {
		for i := range list {
			got, err := b.gapOf(ctx, &list[i])
			if err != nil {
				return fmt.Errorf("%s, %d MiB, sample %d: %w", list[i].Way, list[i].MemoryMiB, n+1, err)
			}
			b.record.ride(what{"gap", list[i].Way, "memory, MiB:", float64(list[i].MemoryMiB), n}, got)
			list[i].all = append(list[i].all, got)
		}
	}
	fmt.Printf("guests that write 32 MiB/s, over %g Gbit/s, downtime limit %d ms; medians of %d, in ms\n", gapLink/1e9, gapLimit, b.samples)
	fmt.Printf("%-32s %9s %16s %9s %7s %12s\n", "", "observed", "(min to max)", "reported", "total", "dirty MiB/s")
	for i := range list {
		g := &list[i]
		g.summarize()
		fmt.Printf("%-23s %4d MiB %9.1f %7.1f to %5.1f %9.1f %7.0f %12.1f", g.Way, g.MemoryMiB, g.GapMS, g.MinMS, g.MaxMS, g.ReportedMS, g.TotalMS, g.Dirtied)
		if g.Unfinished > 0 {
			fmt.Printf("  %d of %d did not end", g.Unfinished, g.Samples)
		}
		fmt.Println()
	}
	judgeGaps(list)
	into.Gap = list
	return nil
}

// gapOf is one move.
func (b bench) gapOf(ctx context.Context, g *gaps) (rode, error) {
	r := ride{memory: g.MemoryMiB, cmdline: g.cmdline(), link: gapLink}
	if g.qemu {
		return b.qemuRide(ctx, r, qemu.MigrateOptions{DowntimeLimit: gapLimit, MaxBandwidth: qemu.Unlimited, Channels: 2})
	}
	got, err := b.ferryRide(ctx, r, "--mode", "precopy", "--downtime-limit", fmt.Sprintf("%dms", gapLimit), "--timeout", gapTimeout.String())
	if err == nil && !got.completed {
		got.gap, got.downtime = milliseconds(gapTimeout), milliseconds(gapTimeout)
	}
	return got, err
}

func (g *gaps) summarize() {
	g.Samples = len(g.all)
	g.MinMS = slices.MinFunc(g.all, byGap).gap
	g.MaxMS = slices.MaxFunc(g.all, byGap).gap
	g.GapMS, g.ReportedMS, g.TotalMS = medianOf(g.all, rode.gapMS), medianOf(g.all, rode.downtimeMS), medianOf(g.all, rode.totalMS)
	g.Dirtied = medianOf(g.all, rode.dirtied)
	for _, r := range g.all {
		if !r.completed {
			g.Unfinished++
		}
	}
}

func byGap(a, b rode) int { return int(a.gap*1000) - int(b.gap*1000) }

func judgeGaps(list []gaps) {
	small, large, ours := list[0], list[1], list[2]
	fmt.Printf("%d MiB: %.1f ms, goal: at most %.0f: %s", ours.MemoryMiB, ours.GapMS, gapGoal, verdict(ours.GapMS <= gapGoal))
	if len(list) > 3 {
		fmt.Printf("; %.2f of QEMU's, goal: at most 1: %s", ours.GapMS/list[3].GapMS, verdict(ours.GapMS <= list[3].GapMS))
	}
	fmt.Printf("\n%d MiB: %+.1f ms beyond %d MiB, goal: at most %+.1f: %s\n", large.MemoryMiB, large.GapMS-small.GapMS, small.MemoryMiB, gapGrowth, verdict(large.GapMS <= small.GapMS+gapGrowth))
}
