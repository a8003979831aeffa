package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
	"github.com/ferryvmm/ferry/tests/qemu"
)

// overheadGoal is what all processes of one machine may need besides the guest's memory, in MiB.
const overheadGoal = 24

// overheadCmdline has both devices work, a little.
const overheadCmdline = cmdline + " blkload=randread blkrate=500 netload=tx netrate=500 netpeer=52:54:00:00:00:01"

// overhead is what a VMM needs besides the guest's memory: RssAnon, RssFile and VmPTE of all its processes, with a
// disk and a network. Medians, in MiB.
type overhead struct {
	VMM      string  `json:"vmm"`
	Samples  int     `json:"samples"`
	Ready    float64 `json:"ready_mib"`
	Moved    float64 `json:"moved_mib"` // at the target
	ReadyPSS float64 `json:"ready_pss_mib"`
	MovedPSS float64 `json:"moved_pss_mib"`

	ready, moved []footprint
}

// memory measures a guest when it is ready, and where it has moved to.
func (b bench) memory(ctx context.Context, r *results) error {
	dir, err := os.MkdirTemp("", "ferry-memory-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	image := filepath.Join(dir, "image")
	if err := writeImage(image, 1<<20); err != nil {
		return err
	}
	d := devices{disk: &qemu.Disk{Path: image, Cache: "none", AIO: "io_uring"}, nic: &qemu.NIC{Tap: tapName, MAC: guestMAC}}
	list := []overhead{{VMM: "ferry"}}
	ways := []func(context.Context, devices) (ready, moved footprint, err error){b.ferryOverhead}
	if b.qemu.Path != "" {
		list = append(list, overhead{VMM: "qemu " + b.qemu.Version})
		ways = append(ways, b.qemuOverhead)
	}
	for n := range b.samples {
		for i, way := range ways {
			ctx, cancel := context.WithTimeout(ctx, sampleWithin)
			ready, moved, err := way(ctx, d)
			cancel()
			if err != nil {
				return fmt.Errorf("%s, sample %d: %w", list[i].VMM, n+1, err)
			}
			at := what{"memory", list[i].VMM, "", 0, n}
			b.record.add(at, metric{"ready", "MiB", -1}, ready.private/1024)
			b.record.add(at, metric{"moved", "MiB", -1}, moved.private/1024)
			list[i].ready, list[i].moved = append(list[i].ready, ready), append(list[i].moved, moved)
		}
	}
	fmt.Printf("besides the guest's %d MiB, with a disk and a network; medians of %d, in MiB; goal: at most %d, and less than QEMU\n",
		memory, b.samples, overheadGoal)
	fmt.Printf("%-24s %8s %8s %8s %8s\n", "", "ready", "(PSS)", "moved", "(PSS)")
	for i := range list {
		o := &list[i]
		o.summarize()
		fmt.Printf("%-24s %8.1f %8.1f %8.1f %8.1f\n", o.VMM, o.Ready, o.ReadyPSS, o.Moved, o.MovedPSS)
	}
	r.Memory = list
	return nil
}

func (o *overhead) summarize() {
	private, pss := func(f footprint) float64 { return f.private / 1024 }, func(f footprint) float64 { return f.pss / 1024 }
	o.Samples = len(o.ready)
	o.Ready, o.ReadyPSS = medianOf(o.ready, private), medianOf(o.ready, pss)
	o.Moved, o.MovedPSS = medianOf(o.moved, private), medianOf(o.moved, pss)
}

// tapped gives each host a tap on a bridge.
func tapped(l *lab.Lab) (err error) {
	for _, h := range l.Hosts {
		err = errors.Join(err, h.Bridge(), h.Tap(tapName))
	}
	return err
}

// ferryOverhead moves a fresh guest once.
func (b bench) ferryOverhead(ctx context.Context, d devices) (ready, moved footprint, err error) {
	w, err := drive.NewWorld(b.vmm, 2)
	if err != nil {
		return ready, moved, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if err := tapped(w.Lab); err != nil {
		return ready, moved, err
	}
	const name = "bench"
	t, err := drive.Boot(ctx, w.Sites, drive.Guest{Name: name, Memory: memory, CPUs: 1, Cmdline: overheadCmdline, Args: d.ferry()})
	if err != nil {
		return ready, moved, err
	}
	both := func() (footprint, error) {
		machine, err := w.Sites[t.At].Info(ctx, name)
		if err != nil {
			return footprint{}, err
		}
		return footprintOf(t.Process.PID(), machine.PID)
	}
	if ready, err = both(); err != nil {
		return ready, moved, err
	}
	m, err := t.Move(ctx)
	if err == nil && m.Outcome != "completed" {
		err = fmt.Errorf("got outcome %s (%s); want completed", m.Outcome, m.Reason)
	}
	if err != nil {
		return ready, moved, err
	}
	moved, err = both()
	return ready, moved, err
}

// qemuOverhead moves a fresh guest once.
func (b bench) qemuOverhead(ctx context.Context, d devices) (ready, moved footprint, err error) {
	l, err := lab.New(2)
	if err != nil {
		return ready, moved, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := tapped(l); err != nil {
		return ready, moved, err
	}
	t, err := b.startPair(ctx, l, qemu.Config{Cmdline: overheadCmdline, MemFD: true, Disk: d.disk, NIC: d.nic})
	if err != nil {
		return ready, moved, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	if ready, err = footprintOf(t.source.PID()); err != nil {
		return ready, moved, err
	}
	if err := t.listen(ctx, qemu.MigrateOptions{}); err != nil {
		return ready, moved, err
	}
	if _, err := t.move(ctx, qemu.MigrateOptions{}); err != nil {
		return ready, moved, err
	}
	moved, err = footprintOf(t.target.PID())
	return ready, moved, err
}
