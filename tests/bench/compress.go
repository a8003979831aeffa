package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/ferryvmm/ferry/tests/qemu"
)

const (
	compressLink = 1e9 // bit/s
	compressFill = 128 // MiB
)

// contents are those that loadgen makes.
var contents = []string{"random", "text", "half", "mixed"}

// compressed is a way to send a guest's memory smaller, with one kind of content: medians.
type compressed struct {
	Way     string  `json:"way"`
	Data    string  `json:"data"`
	Samples int     `json:"samples"`
	SentMiB float64 `json:"sent_mib"`
	TotalMS float64 `json:"total_ms"`
	GapMS   float64 `json:"observed_downtime_ms"`

	how  string // --compress; empty: QEMU
	peer string // QEMU's multifd-compression
	all  []rode
}

func (c *compressed) cmdline() string {
	return fmt.Sprintf("fill=%d wss=4 rate=4 order=rand data=%s", compressFill, c.Data)
}

// compress moves guests that write a little, with contents of several kinds, over a link of 1 Gbit/s, in each way in turn.
func (b bench) compress(ctx context.Context, into *results) error {
	var list []compressed
	for _, data := range contents {
		if !strings.Contains(data, b.loads) {
			continue
		}
		for _, how := range []string{"off", "s2", "zstd", "delta", "auto"} {
			list = append(list, compressed{Way: "ferry " + how, Data: data, how: how})
		}
		if b.qemu.Path != "" {
			list = append(list, compressed{Way: "qemu multifd zstd", Data: data, peer: "zstd"})
		}
	}
	for n := range b.samples {
		for i := range list {
			got, err := b.compressOf(ctx, &list[i])
			if err != nil {
				return fmt.Errorf("%s, %s, sample %d: %w", list[i].Way, list[i].Data, n+1, err)
			}
			b.record.ride(what{"compress", list[i].Way, list[i].Data, 0, n}, got)
			list[i].all = append(list[i].all, got)
		}
	}
	fmt.Printf("%d MiB of memory, 4 MiB/s written, over %g Gbit/s; medians of %d\n", compressFill, compressLink/1e9, b.samples)
	fmt.Printf("%-8s %-18s %9s %9s %12s\n", "content", "", "sent MiB", "total ms", "observed ms")
	for i := range list {
		c := &list[i]
		c.Samples = len(c.all)
		c.SentMiB, c.TotalMS, c.GapMS = medianOf(c.all, rode.sentMiB), medianOf(c.all, rode.totalMS), medianOf(c.all, rode.gapMS)
		fmt.Printf("%-8s %-18s %9.1f %9.0f %12.1f\n", c.Data, c.Way, c.SentMiB, c.TotalMS, c.GapMS)
	}
	judgeCompression(list)
	into.Compress = list
	return nil
}

// compressOf is one move.
func (b bench) compressOf(ctx context.Context, c *compressed) (got rode, err error) {
	r := ride{memory: 2 * compressFill, cmdline: c.cmdline(), link: compressLink}
	if c.how == "" {
		return b.qemuRide(ctx, r, qemu.MigrateOptions{DowntimeLimit: gapLimit, MaxBandwidth: qemu.Unlimited, Channels: 2, Compression: c.peer})
	}
	got, err = b.ferryRide(ctx, r, "--mode", "precopy", "--downtime-limit", fmt.Sprintf("%dms", gapLimit), "--timeout", gapTimeout.String(), "--compress", c.how)
	if err == nil && !got.completed {
		err = fmt.Errorf("it did not end within %v", gapTimeout)
	}
	return got, err
}

// judgeCompression compares auto with everything else.
func judgeCompression(list []compressed) {
	total := make(map[string]float64)
	for _, c := range list {
		total[c.Data+" "+c.Way] = c.TotalMS
	}
	for _, data := range contents {
		auto := total[data+" ferry auto"]
		if auto == 0 { // not asked for
			continue
		}
		fmt.Printf("%s: auto %.2f of off, goal: at most 1.03: %s", data, auto/total[data+" ferry off"], verdict(auto <= 1.03*total[data+" ferry off"]))
		if data == "mixed" {
			best := min(total[data+" ferry s2"], total[data+" ferry zstd"], total[data+" ferry delta"])
			fmt.Printf("; %.2f of the best single codec, goal: less than 1: %s", auto/best, verdict(auto < best))
		}
		if qemu := total[data+" qemu multifd zstd"]; qemu > 0 {
			fmt.Printf("; %.2f of QEMU's", auto/qemu)
		}
		fmt.Println()
	}
}
