package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	autoGoal    = 1.1 // of the faster mode's total
	autoMemory  = 256 // MiB
	autoLink    = 200e6
	autoLimit   = 50 * time.Millisecond
	autoTimeout = 6 * time.Second // of pre-copy, which may have no end
)

// autoModes are compared: the choice, and what it chooses from.
var autoModes = []string{"auto", "precopy", "postcopy"}

// autoGuests are a calm one, and one that writes faster than the link carries.
var autoGuests = []struct {
	name, cmdline string
	want          []string // modes that auto may pick
}{
	{"calm", "fill=32 rate=0", []string{"precopy"}},
	{"writing", "fill=32 wss=24 rate=48", []string{"postcopy", "hybrid"}},
}

// choice is how a guest moves by a mode: medians.
type choice struct {
	Guest      string  `json:"guest"`
	Mode       string  `json:"mode_requested"`
	Samples    int     `json:"samples"`
	InTime     int     `json:"within_downtime_limit"` // samples that completed, with a downtime within the limit
	TotalMS    float64 `json:"total_ms"`
	DowntimeMS float64 `json:"downtime_ms"`
	GapMS      float64 `json:"largest_gap_ms"`
	Dirtied    float64 `json:"dirty_mib_s"` // that the guest achieved in the second before
	// Of auto.
	Picked []string `json:"picked,omitempty"` // by sample
	Ratio  float64  `json:"ratio,omitempty"`  // to the total of the fastest other mode that met the limit

	all []rode
}

// auto moves a calm guest and a writing one in every mode in turn.
func (b bench) auto(ctx context.Context, into *results) error {
	for _, g := range autoGuests {
		list := make([]choice, len(autoModes))
		for n := range b.samples {
			for i, mode := range autoModes {
				args := []string{"--mode", mode, "--downtime-limit", autoLimit.String()}
				if mode == "precopy" {
					args = append(args, "--timeout", autoTimeout.String())
				}
				got, err := b.ferryRide(ctx, ride{memory: autoMemory, cmdline: g.cmdline, link: autoLink}, args...)
				if err != nil {
					return fmt.Errorf("%s guest, %s, sample %d: %w", g.name, mode, n+1, err)
				}
				b.record.ride(what{"auto", mode, g.name + " guest", 0, n}, got)
				list[i].all = append(list[i].all, got)
			}
		}
		for i := range list {
			list[i].Guest, list[i].Mode = g.name, autoModes[i]
			list[i].summarize()
		}
		printChoices(g.cmdline, g.want, list)
		into.Auto = append(into.Auto, list...)
	}
	return nil
}

// met says that a ride completed with a downtime within the limit.
func (r rode) met() bool { return r.completed && r.downtime <= milliseconds(autoLimit) }

func (c *choice) summarize() {
	c.Samples = len(c.all)
	c.TotalMS, c.DowntimeMS, c.GapMS = medianOf(c.all, rode.totalMS), medianOf(c.all, rode.downtimeMS), medianOf(c.all, rode.gapMS)
	c.Dirtied = medianOf(c.all, rode.dirtied)
	for _, r := range c.all {
		if r.met() {
			c.InTime++
		}
		if c.Mode == "auto" {
			c.Picked = append(c.Picked, r.mode)
		}
	}
}

// metLimit says that most samples did.
func (c *choice) metLimit() bool { return 2*c.InTime > c.Samples }

func printChoices(cmdline string, want []string, list []choice) {
	auto, best := &list[0], 0.0
	fmt.Printf("%s guest of %d MiB, %q, over %g Mbit/s, downtime limit %v; medians of %d, in ms\n", auto.Guest, autoMemory, cmdline, autoLink/1e6, autoLimit, auto.Samples)
	fmt.Printf("%-24s %8s %9s %12s %9s %12s\n", "", "total", "downtime", "within limit", "(gap)", "dirty MiB/s")
	for _, c := range list {
		fmt.Printf("%-24s %8.0f %9.1f %9d/%-2d %9.1f %12.1f\n", c.Mode, c.TotalMS, c.DowntimeMS, c.InTime, c.Samples, c.GapMS, c.Dirtied)
		if c.Mode != "auto" && c.metLimit() && (best == 0 || c.TotalMS < best) {
			best = c.TotalMS
		}
	}
	right := 0
	for _, mode := range auto.Picked {
		if slices.Contains(want, mode) {
			right++
		}
	}
	fmt.Printf("auto picked %v, goal: one of %v: %s", auto.Picked, want, verdict(right == auto.Samples))
	if best == 0 {
		fmt.Printf("; no other mode met the limit\n")
		return
	}
	auto.Ratio = auto.TotalMS / best
	fmt.Printf("; its total is %.2f of the fastest that met the limit, goal: at most %.2f: %s\n", auto.Ratio, autoGoal, verdict(auto.Ratio <= autoGoal && auto.metLimit()))
}
