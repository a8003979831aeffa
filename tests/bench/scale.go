package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/qemu"
)

// What is varied in the scaling runs, with its unit.
const (
	memorySeries  = "memory in use, MiB:"
	sparseSeries  = "configured memory, MiB:"
	dirtySeries   = "asked to write, MiB/s:"
	linkSeries    = "link, Gbit/s:"
	channelSeries = "channels:"
	vcpuSeries    = "vCPUs:"
)

const (
	scaleLink   = 400e6 // bit/s, of the dirty rates: what one vCPU can write while it is logged is more
	scaleFill   = 256   // MiB, of guests whose memory is not what is varied
	channelFill = 512   // MiB
	bulkLimit   = 50    // ms, of downtime, where that is not what is measured
	scaleSpare  = 64    // MiB, of each guest beyond what is in use
	perMiB      = 40 * time.Millisecond
)

// scaleWay is one way to move the guest of a point.
type scaleWay struct {
	name string
	run  func(context.Context, ride) (rode, error)
}

// point is a guest that is moved in some ways.
type point struct {
	setting string
	at      float64
	ride    ride
	ways    []scaleWay
}

// scale varies one thing at a time.
func (b bench) scale(ctx context.Context, into *results) error {
	room, err := b.room()
	if err != nil {
		return err
	}
	for _, p := range b.points(room) {
		if !strings.Contains(p.setting, b.loads) {
			continue
		}
		for n := range b.samples {
			for i := range p.ways {
				if n%2 == 1 { // the other way round, lest one always runs behind the same
					i = len(p.ways) - 1 - i
				}
				way := p.ways[i]
				got, err := way.run(ctx, p.ride)
				w := what{"scale", way.name, p.setting, p.at, n}
				if err != nil {
					return fmt.Errorf("%s %v, %s, sample %d: %w", p.setting, p.at, way.name, n+1, err)
				}
				b.record.ride(w, got)
				fmt.Printf("%-24s %6.0f  %-20s total %7.0f ms  observed %7.1f ms  %7.0f Mbit/s  CPU s %.2f + %.2f  %s\n", p.setting, p.at, way.name, got.total, got.gap, got.data, got.source, got.target, got.mode)
			}
		}
	}
	into.Scale = b.record.summaries("scale")
	return nil
}

// room is how much memory a guest may use, in MiB: it is there twice during its move, and the host has other work.
func (b bench) room() (int, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var kib int
		if _, err := fmt.Sscanf(s.Text(), "MemAvailable: %d kB", &kib); err == nil {
			return min(kib/1024*2/5, b.most), nil
		}
	}
	return 0, errors.New("/proc/meminfo says nothing of MemAvailable")
}

// points are all that are measured, the largest last.
func (b bench) points(room int) []point {
	fill := min(scaleFill, room)
	ferry := func(name string, limit int, args ...string) scaleWay {
		return scaleWay{strings.TrimSpace("ferry " + name), func(ctx context.Context, r ride) (rode, error) {
			got, err := b.ferryRide(ctx, r, append([]string{"--downtime-limit", fmt.Sprintf("%dms", limit)}, args...)...)
			if err == nil && !got.completed {
				err = errors.New("the move did not complete")
			}
			return got, err
		}}
	}
	multifd := func(channels, limit int) []scaleWay {
		if b.qemu.Path == "" {
			return nil
		}
		o := qemu.MigrateOptions{DowntimeLimit: limit, MaxBandwidth: qemu.Unlimited, Channels: channels}
		name := fmt.Sprintf("qemu %s, multifd %d", b.qemu.Version, channels)
		return []scaleWay{{name, func(ctx context.Context, r ride) (rode, error) { return b.qemuRide(ctx, r, o) }}}
	}
	var all []point
	for _, rate := range []int{0, 8, 16, 32, 48, 64} { // MiB/s
		p := point{dirtySeries, float64(rate), ride{
			memory: fill + scaleSpare, fill: fill, cmdline: fmt.Sprintf("fill=%d wss=%d rate=%d", fill, max(fill/4, 1), rate), link: scaleLink,
		}, []scaleWay{ferry("auto", gapLimit, "--mode", "auto")}}
		// Pre-copy of a guest that writes nearly as fast as the link carries has no end.
		if float64(rate)*(8<<20) < 0.7*scaleLink {
			p.ways = append(append(p.ways, ferry("precopy", gapLimit, "--mode", "precopy")), multifd(2, gapLimit)...)
		}
		all = append(all, p)
	}
	const two = 2 // channels that Ferry has by default
	for _, link := range []uint64{1e9, 10e9} {
		in := min(fillOver(link), room)
		r := ride{memory: in + scaleSpare, fill: in, warm: in, cmdline: bulkCmdline(in, "random"), link: link}
		ways := append([]scaleWay{ferry("", bulkLimit, "--mode", "precopy", "--channels", fmt.Sprint(two))}, multifd(two, bulkLimit)...)
		all = append(all, point{linkSeries, float64(link) / 1e9, r, append(ways, scaleWay{"pump, " + string(lab.Discard), pumped(two, lab.Discard)})})
	}
	for _, channels := range []int{1, 2, 4, 8} {
		in := min(channelFill, room)
		ways := []scaleWay{ferry("", bulkLimit, "--mode", "precopy", "--channels", fmt.Sprint(channels))}
		for _, w := range multifd(channels, bulkLimit) {
			w.name = "qemu " + b.qemu.Version + ", multifd" // one line of a plot, however many
			ways = append(ways, w)
		}
		for _, sink := range []lab.Sink{lab.Discard, lab.Huge, lab.HugeMap} { // of those that place, the best two
			ways = append(ways, scaleWay{"pump, " + string(sink), pumped(channels, sink)})
		}
		all = append(all, point{channelSeries, float64(channels), ride{memory: in + scaleSpare, fill: in, warm: in, cmdline: bulkCmdline(in, "random")}, ways})
	}
	for _, cpus := range []int{1, 2, 3, 4} {
		r := ride{memory: fill + scaleSpare, fill: fill, cpus: cpus, cmdline: fmt.Sprintf("fill=%d wss=%d rate=16 cpus=%d", fill, max(fill/8, 1), cpus)}
		all = append(all, point{vcpuSeries, float64(cpus), r, append([]scaleWay{ferry("precopy", gapLimit, "--mode", "precopy")}, multifd(2, gapLimit)...)})
	}
	for _, size := range []int{1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10} {
		if size > 3*room {
			continue
		}
		in := min(sparseFill, room)
		all = append(all, point{sparseSeries, float64(size), ride{memory: size, fill: in, warm: in, cmdline: bulkCmdline(in, "random")}, append([]scaleWay{ferry("precopy", bulkLimit, "--mode", "precopy")}, multifd(2, bulkLimit)...)})
	}
	for size := min(256, room); size <= 8<<10; size *= 2 {
		if size > room {
			fmt.Printf("%s %d and more: left out, this host has room for %d\n", memorySeries, size, room)
			break
		}
		r := ride{memory: size + scaleSpare, fill: size, warm: size, cmdline: bulkCmdline(size, "random")}
		all = append(all, point{memorySeries, float64(size), r, append([]scaleWay{ferry("precopy", bulkLimit, "--mode", "precopy")}, multifd(2, bulkLimit)...)})
	}
	for i := range all {
		all[i].ride.within = rideWithin + time.Duration(all[i].ride.fill)*perMiB
	}
	return all
}

// pumped is what the path alone carries: of the guest's memory, by as many TCP streams.
func pumped(streams int, sink lab.Sink) func(context.Context, ride) (rode, error) {
	return func(_ context.Context, r ride) (got rode, err error) {
		if err := r.warmed(); err != nil {
			return got, err
		}
		l, err := lab.New(2)
		if err != nil {
			return got, err
		}
		defer func() { err = errors.Join(err, l.Close()) }()
		if err := r.shaped(l.Hosts); err != nil {
			return got, err
		}
		p, err := lab.Pump(l.Hosts[0], l.Hosts[1], uint64(r.fill)<<20, streams, sink)
		if err != nil {
			return got, err
		}
		return rode{completed: true, pump: true, data: p.BitsPerSecond() / 1e6, total: milliseconds(p.Took)}, nil
	}
}
