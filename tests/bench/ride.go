package main

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
	"github.com/ferryvmm/ferry/tests/qemu"
)

// rideWithin bounds one ride, with the guest's boot: larger guests take seconds to fill their memory.
const rideWithin = 3 * time.Minute

// ride is a guest that moves once, over a link of its own.
type ride struct {
	memory  int // MiB
	cmdline string
	link    uint64 // bit/s each way; 0: as fast as it goes

	cpus   int           // 0: one
	fill   int           // MiB of the guest's data, by which rates are reckoned; 0: they are not
	warm   int           // MiB of data for which memory is warmed just before it moves
	within time.Duration // the most that all of it may take; 0: rideWithin
}

// rode is how a ride went.
type rode struct {
	completed     bool
	mode          string // Ferry's: what was done
	gap           float64
	downtime      float64 // reported
	total         float64
	faults        float64 // Ferry's median from request to wake, us
	sent          float64 // bytes written to the network, MiB
	data          float64 // the guest's data by the time from the first byte to its start at the target, Mbit/s; 0: not reckoned
	source        float64 // CPU time of each side, in seconds: from before the move to its end, and from the target's start
	target        float64
	pump          bool // no guest: only data and total are known
	before, after lab.Stat
}

// shaped makes two hosts on a link of the ride's.
func (r ride) shaped(hosts []*lab.Host) (err error) {
	if r.link == 0 {
		return nil
	}
	for _, h := range hosts {
		err = errors.Join(err, h.Shape(r.link))
	}
	return err
}

// warmed warms the host's memory for the ride.
func (r ride) warmed() error {
	if r.warm == 0 {
		return nil
	}
	return warmFor(r.warm)
}

// ferryRide makes a ride with Ferry. One that does not complete is no error.
func (b bench) ferryRide(ctx context.Context, r ride, args ...string) (got rode, err error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(r.within, rideWithin))
	defer cancel()
	w, err := drive.NewWorld(b.vmm, 2)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if err := r.shaped(w.Lab.Hosts); err != nil {
		return got, err
	}
	t, err := drive.Boot(ctx, w.Sites, drive.Guest{Name: "bench", Memory: r.memory, CPUs: cmp.Or(r.cpus, 1), Cmdline: r.cmdline, Settle: settleBeats})
	if err != nil {
		return got, err
	}
	if got.before, err = nextStat(ctx, t.Observer); err != nil {
		return got, err
	}
	if err := r.warmed(); err != nil {
		return got, err
	}
	source := t.Process
	machine, err := w.Sites[t.At].Info(ctx, "bench")
	if err != nil {
		return got, err
	}
	before, err := cpuOf(source.PID(), machine.PID)
	if err != nil {
		return got, err
	}
	m, err := t.Move(ctx, args...)
	if err != nil {
		return got, err
	}
	if m.Outcome == "completed" {
		if machine, err = w.Sites[t.At].Info(ctx, "bench"); err != nil {
			return got, err
		}
		if got.target, err = cpuOf(t.Process.PID(), machine.PID); err != nil {
			return got, err
		}
		got.source = source.CPU().Seconds() - before
		if r.fill > 0 {
			got.data = rateOf(r.fill, m.Phases.PushMS+m.Phases.StopMS+m.Phases.PullMS)
		}
	}
	got.completed, got.mode = m.Outcome == "completed", m.Mode
	got.gap, got.downtime, got.total, got.faults = milliseconds(m.Gap()), m.DowntimeMS, m.TotalMS, m.Faults.P50US
	got.sent = float64(m.SentBytes) / (1 << 20)
	if got.after, err = nextStat(ctx, t.Observer); err != nil {
		return got, err
	}
	return got, t.Stop(ctx)
}

// qemuRide makes a ride with QEMU.
func (b bench) qemuRide(ctx context.Context, r ride, o qemu.MigrateOptions) (got rode, err error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(r.within, rideWithin))
	defer cancel()
	l, err := lab.New(2)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := r.shaped(l.Hosts); err != nil {
		return got, err
	}
	p, err := b.startPair(ctx, l, qemu.Config{Cmdline: r.cmdline, Memory: r.memory, CPUs: r.cpus})
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := p.listen(ctx, o); err != nil {
		return got, err
	}
	if got.before, err = nextStat(ctx, p.observer); err != nil {
		return got, err
	}
	if err := r.warmed(); err != nil {
		return got, err
	}
	before, err := cpuOf(p.source.PID())
	if err != nil {
		return got, err
	}
	start := lab.Now()
	moved, err := p.move(ctx, o)
	if err != nil {
		return got, err
	}
	after, err := cpuOf(p.source.PID())
	if err != nil {
		return got, err
	}
	if got.target, err = cpuOf(p.target.PID()); err != nil {
		return got, err
	}
	got.source = after - before
	if ms := float64(moved.TotalMS) - float64(moved.SetupMS); r.fill > 0 && ms > 0 {
		got.data = rateOf(r.fill, ms)
	}
	got.completed = true
	got.gap, got.downtime, got.total = milliseconds(p.observer.ReportSince(start).Longest.Downtime), float64(moved.DowntimeMS), float64(moved.TotalMS)
	got.sent = float64(moved.RAM.Transferred) / (1 << 20)
	got.after, err = nextStat(ctx, p.observer)
	return got, err
}

func nextStat(ctx context.Context, o *lab.Observer) (lab.Stat, error) {
	return o.WaitStat(ctx, func(lab.Stat) bool { return true })
}

// dirtied is how much the guest wrote in the second before the move, in MiB/s.
func (r rode) dirtied() float64 { return r.before.Values["write_mib_s"] }

func (r rode) gapMS() float64      { return r.gap }
func (r rode) totalMS() float64    { return r.total }
func (r rode) downtimeMS() float64 { return r.downtime }
func (r rode) faultsUS() float64   { return r.faults }
func (r rode) sentMiB() float64    { return r.sent }

// verdict says whether a goal is met.
func verdict(met bool) string {
	if met {
		return "met"
	}
	return "MISSED"
}
