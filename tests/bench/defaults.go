package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ferryvmm/ferry/tests/drive"
)

// mostLoss is how much longer a choice that vmm makes by itself may take than none, in percent, unless what takes equally long differs more.
const mostLoss = 3.0

// paired is a choice that vmm makes by itself beside none, move by move: medians.
type paired struct {
	LinkMbits float64 `json:"link_mbit_s"` // 0: as fast as it goes
	Data      string  `json:"data"`
	Flag      string  `json:"flag"`
	Pairs     int     `json:"pairs"`
	MS        float64 `json:"ms"`         // from the first byte to the guest's start at the target, without the choice
	Percent   float64 `json:"percent"`    // by which it takes longer with it: of the paired differences
	Spread    float64 `json:"off_spread"` // quartile to quartile of the differences of two moves without it, in percent
	Channels  float64 `json:"channels"`   // that it used
	Met       bool    `json:"met"`
}

// choices are flags by which vmm chooses; what they are compared with is in nothing.
var (
	choices = [][]string{{"--compress", "auto"}, {"--channels", "auto"}}
	nothing = []string{"--compress", "off", "--channels", "1"}
)

// defaults moves guests to and fro, in turn with each choice and without any.
func (b bench) defaults(ctx context.Context, into *results) error {
	for _, link := range []uint64{0, 10e9, 1e9} {
		for _, data := range []string{"random", "mixed"} {
			if !strings.Contains(data, b.loads) {
				continue
			}
			list, err := b.pairs(ctx, link, data)
			if err != nil {
				return err
			}
			into.Defaults = append(into.Defaults, list...)
		}
	}
	return nil
}

// pairs measures all choices with one guest.
func (b bench) pairs(ctx context.Context, link uint64, data string) (list []paired, err error) {
	ctx, cancel := context.WithTimeout(ctx, rideWithin)
	defer cancel()
	w, err := drive.NewWorld(b.vmm, 2)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	fill := fillOver(link)
	t, err := bulkTrip(ctx, w, link, fill, data)
	if err != nil {
		return nil, err
	}
	move := func(n int, flags []string) (ms, channels float64, err error) {
		got, err := b.ferryMove(ctx, w, t, fill, slices.Concat(nothing, flags)...)
		ms = rateOf(fill, got.mbits)
		b.record.add(what{"defaults", strings.TrimSpace("ferry " + strings.Join(flags, " ")), data + ", link in Mbit/s:", float64(link) / 1e6, n}, dataMbits, got.mbits)
		return ms, float64(got.channels), err
	}
	var off, between []float64
	differ, channels := make([][]float64, len(choices)), make([][]float64, len(choices))
	for n := range b.samples {
		one, _, err := move(n, nil)
		if err != nil {
			return nil, err
		}
		for i := range choices {
			if n%2 == 1 { // the other way round, lest one always runs behind the same
				i = len(choices) - 1 - i
			}
			ms, count, err := move(n, choices[i])
			if err != nil {
				return nil, err
			}
			differ[i], channels[i] = append(differ[i], 100*(ms/one-1)), append(channels[i], count)
		}
		two, _, err := move(n, nil)
		if err != nil {
			return nil, err
		}
		off, between = append(off, one), append(between, 100*(two/one-1))
	}
	slices.Sort(between)
	spread := between[len(between)*3/4] - between[len(between)/4]
	for i, flags := range choices {
		p := paired{LinkMbits: float64(link) / 1e6, Data: data, Flag: strings.Join(flags, " "), Pairs: b.samples, MS: median(off), Percent: median(differ[i]), Spread: spread, Channels: median(channels[i])}
		p.Met = p.Percent <= max(mostLoss, spread)
		fmt.Printf("%6.0f Mbit/s (0: unshaped), %-7s %-16s %+6.1f %% of %5.0f ms (off beside off: %.1f from quartile to quartile), channels %.0f: %s\n", p.LinkMbits, data, p.Flag, p.Percent, p.MS, spread, p.Channels, verdict(p.Met))
		list = append(list, p)
	}
	return list, t.Stop(ctx)
}
