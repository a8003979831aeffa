package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
	"github.com/ferryvmm/ferry/tests/qemu"
)

// loadMemory of the guests that work, in MiB.
const loadMemory = 64

// loadCmdline leaves the guest's CPU to its devices.
const loadCmdline = "fill=1 wss=1 verify=0 heartbeat=0 "

// loadSeconds is how long a load is measured, in STAT lines, after a first one that is left out.
const loadSeconds = 2

// load is work for a guest's device.
type load struct {
	name  string
	words string // of loadgen's command line
	field string // of STAT, a rate
	unit  string

	// help is what the host does meanwhile; nil: nothing. It returns when ctx ends.
	help func(ctx context.Context, h *lab.Host) error
}

// devices are what a guest works with.
type devices struct {
	disk *qemu.Disk
	nic  *qemu.NIC
	fd   bool // QEMU's guest has its memory in a memfd, as Ferry's has
}

// way is one VMM with one set of devices. boot starts the guest, with o watching its serial line.
type way struct {
	name string
	boot func(ctx context.Context, h *lab.Host, o *lab.Observer, cmdline string) (io.Closer, error)
}

// comparison is how fast each way does a load.
type comparison struct {
	Load    string             `json:"load"`
	Unit    string             `json:"unit"`
	Ratio   float64            `json:"ratio"` // of the first way, Ferry's, to the best of the others; 0 without others
	Samples int                `json:"samples"`
	Medians map[string]float64 `json:"medians"`
}

// compare measures every load in every way, in turn, and the other way round the next time: what one leaves behind in
// the host's caches, and what else the host does meanwhile, hits all alike. Before each, the host is settled.
func (b bench) compare(ctx context.Context, h *lab.Host, title string, loads []load, ways []way, settle func() error) ([]comparison, error) {
	loads = slices.DeleteFunc(loads, func(l load) bool { return !strings.Contains(l.name, b.loads) })
	rates := make(map[string][][]float64) // of each load, those of each way
	for n := range b.samples {
		for _, l := range loads {
			if n == 0 {
				rates[l.name] = make([][]float64, len(ways))
			}
			for i := range ways {
				if n%2 == 1 {
					i = len(ways) - 1 - i
				}
				if err := settle(); err != nil {
					return nil, fmt.Errorf("%s, %s, before sample %d: %w", l.name, ways[i].name, n+1, err)
				}
				rate, err := measure(ctx, h, l, ways[i])
				if err != nil {
					return nil, fmt.Errorf("%s, %s, sample %d: %w", l.name, ways[i].name, n+1, err)
				}
				b.record.add(what{title, ways[i].name, l.name, 0, n}, metric{"rate", l.unit, 1}, rate)
				rates[l.name][i] = append(rates[l.name][i], rate)
			}
		}
	}
	fmt.Printf("%s, medians of %d; goal: at least 1 of QEMU's best\n", title, b.samples)
	var all []comparison
	for _, l := range loads {
		c := comparison{Load: l.name, Unit: l.unit, Samples: b.samples, Medians: make(map[string]float64)}
		best := 0.0
		text := ""
		for i, w := range ways {
			m := median(rates[l.name][i])
			c.Medians[w.name] = m
			text += fmt.Sprintf("  %s %.0f", w.name, m)
			if i > 0 {
				best = max(best, m)
			}
		}
		if best > 0 {
			c.Ratio = c.Medians[ways[0].name] / best
		}
		fmt.Printf("%-32s %5.2f %10s:%s\n", l.name, c.Ratio, l.unit, text)
		all = append(all, c)
	}
	return all, nil
}

// measure boots a guest that does the load, and returns its rate.
func measure(ctx context.Context, h *lab.Host, l load, w way) (rate float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, sampleWithin)
	defer cancel()
	o := lab.NewObserver(drive.Period)
	guest, err := w.boot(ctx, h, o, loadCmdline+l.words)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, guest.Close()) }()
	if err := o.WaitReady(ctx); err != nil {
		return 0, err
	}
	if l.help != nil {
		ctx, stop := context.WithCancel(ctx)
		helped := make(chan error, 1)
		go func() { helped <- l.help(ctx, h) }()
		defer func() { stop(); err = errors.Join(err, <-helped) }()
	}
	for n := range 1 + loadSeconds {
		s, err := o.WaitStat(ctx, func(lab.Stat) bool { return true })
		if err != nil {
			return 0, err
		}
		v, ok := s.Values[l.field]
		if !ok {
			return 0, fmt.Errorf("loadgen says no %s: has it the device?\n%s", l.field, o.Tail())
		}
		if n > 0 {
			rate += v / loadSeconds
		}
	}
	return rate, nil
}

// ferryWay runs guests with our command.
func (b bench) ferryWay(d devices) way {
	return way{"ferry", func(_ context.Context, h *lab.Host, o *lab.Observer, cmdline string) (io.Closer, error) {
		site, err := drive.NewSite(b.vmm, h)
		if err != nil {
			return nil, err
		}
		args := append([]string{"run", "--memory", strconv.Itoa(loadMemory) + "M", "--cmdline", cmdline}, d.ferry()...)
		p, err := site.Start(o, "ferry", args...)
		if err != nil {
			return nil, errors.Join(err, site.Close())
		}
		return ferryGuest{site, p}, nil
	}}
}

// ferry are the arguments for run. The taps are there: a target finds them by their names.
func (d devices) ferry() (args []string) {
	if d.disk != nil {
		args = append(args, "--disk", "disk="+d.disk.Path+",cache="+d.disk.Cache)
	}
	if d.nic != nil {
		args = append(args, "--net", "net=tap="+d.nic.Tap+",mac="+d.nic.MAC)
	}
	return args
}

type ferryGuest struct {
	site    *drive.Site
	process *drive.Process
}

// Close kills the guest, and waits: its tap and its image are for the next.
func (g ferryGuest) Close() error {
	err := g.site.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, waited := g.process.Wait(ctx)
	return errors.Join(err, waited)
}

// qemuWay runs guests with QEMU.
func (b bench) qemuWay(name string, d devices) way {
	return way{"qemu " + b.qemu.Version + name, func(ctx context.Context, h *lab.Host, o *lab.Observer, cmdline string) (io.Closer, error) {
		m, err := qemu.Start(ctx, qemu.Config{
			Binary: b.qemu, Host: h, Kernel: b.kernel, Cmdline: cmdline, Memory: loadMemory, CPUs: 1, Disk: d.disk, NIC: d.nic, MemFD: d.fd,
		})
		if err != nil {
			return nil, err
		}
		o.Watch("qemu", m.Serial)
		return m, nil
	}}
}
