package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
	"github.com/ferryvmm/ferry/tests/qemu"
)

// The guest whose downtime is measured: idle, in MiB.
const (
	memory  = 256
	cmdline = "fill=32 rate=0"
)

// sampleWithin bounds one sample.
const sampleWithin = time.Minute

// settleBeats is how many heartbeats are awaited on both sides of a move.
const settleBeats = 200

// goal is the observed downtime that an idle guest shall not exceed, in ms.
const goal = 8

// sample is one move: milliseconds, seen from outside and by the mover.
type sample struct {
	observed, reported, total float64
	parts                     []float64 // of reported, in the order of parts; Ferry's only
}

// parts are the names of a downtime's parts.
var parts = []string{"pause", "pages", "state", "commit", "resume"}

// series is one way to move the guest.
type series struct {
	Way        string  `json:"way"`
	Samples    int     `json:"samples"`
	ObservedMS float64 `json:"observed_downtime_ms"` // medians
	MinMS      float64 `json:"observed_min_ms"`
	MaxMS      float64 `json:"observed_max_ms"`
	ReportedMS float64 `json:"reported_downtime_ms"`
	TotalMS    float64 `json:"total_ms"`
	// PartsMS are the medians of the parts of the reported downtime.
	PartsMS map[string]float64 `json:"reported_parts_ms,omitempty"`

	all []sample
}

// downtime measures every way in turn, so that what else the machine does hits
// all of them alike.
func (b bench) downtime(ctx context.Context, r *results) error {
	list := []series{{Way: "ferry"}}
	ways := []func(context.Context) (sample, error){b.ferry}
	if b.qemu.Path != "" {
		list = append(list, series{Way: "qemu " + b.qemu.Version + ", default"}, series{Way: "qemu " + b.qemu.Version + ", limit 5 ms"})
		ways = append(ways,
			func(ctx context.Context) (sample, error) { return b.peer(ctx, qemu.MigrateOptions{}) },
			func(ctx context.Context) (sample, error) {
				return b.peer(ctx, qemu.MigrateOptions{DowntimeLimit: 5, MaxBandwidth: qemu.Unlimited})
			})
	}
	for n := range b.samples {
		for i, way := range ways {
			ctx, cancel := context.WithTimeout(ctx, sampleWithin)
			s, err := way(ctx)
			cancel()
			if err != nil {
				return fmt.Errorf("%s, sample %d: %w", list[i].Way, n+1, err)
			}
			at := what{"downtime", list[i].Way, "", 0, n}
			b.record.add(at, observedMS, s.observed)
			b.record.add(at, reportedMS, s.reported)
			b.record.add(at, totalMS, s.total)
			list[i].all = append(list[i].all, s)
		}
	}
	fmt.Printf("%d MiB guest, %q, idle; medians of %d, in ms\n", memory, cmdline, b.samples)
	fmt.Printf("%-24s %9s %15s %9s %7s\n", "", "observed", "(min to max)", "reported", "total")
	for i := range list {
		s := &list[i]
		s.summarize()
		fmt.Printf("%-24s %9.1f %6.1f to %5.1f %9.1f %7.0f\n", s.Way, s.ObservedMS, s.MinMS, s.MaxMS, s.ReportedMS, s.TotalMS)
	}
	fmt.Printf("ferry's downtime is")
	for _, name := range parts {
		fmt.Printf(" %s %.1f", name, list[0].PartsMS[name])
	}
	fmt.Printf("; goal: observed at most %d\n", goal)
	r.Downtime = list
	return nil
}

func (s *series) summarize() {
	pick := func(of func(sample) float64) []float64 {
		var list []float64
		for _, one := range s.all {
			list = append(list, of(one))
		}
		slices.Sort(list)
		return list
	}
	observed := pick(func(s sample) float64 { return s.observed })
	mid := len(observed) / 2
	s.Samples, s.ObservedMS, s.MinMS, s.MaxMS = len(observed), observed[mid], observed[0], observed[len(observed)-1]
	s.ReportedMS = pick(func(s sample) float64 { return s.reported })[mid]
	s.TotalMS = pick(func(s sample) float64 { return s.total })[mid]
	if s.all[0].parts == nil {
		return
	}
	s.PartsMS = make(map[string]float64)
	for i, name := range parts {
		s.PartsMS[name] = pick(func(s sample) float64 { return s.parts[i] })[mid]
	}
}

// ferry moves a fresh guest once.
func (b bench) ferry(ctx context.Context) (s sample, err error) {
	w, err := drive.NewWorld(b.vmm, 2)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	t, err := drive.Boot(ctx, w.Sites, drive.Guest{Name: "bench", Memory: memory, CPUs: 1, Cmdline: cmdline})
	if err != nil {
		return s, err
	}
	m, err := t.Move(ctx)
	if err == nil && m.Outcome != "completed" {
		err = fmt.Errorf("got outcome %s (%s); want completed", m.Outcome, m.Reason)
	}
	if err != nil {
		return s, err
	}
	d := m.Downtime
	return sample{
		observed: milliseconds(m.Gap()), reported: m.DowntimeMS, total: m.TotalMS,
		parts: []float64{d.PauseMS, d.PagesMS, d.StateMS, d.CommitMS, d.ResumeMS},
	}, t.Stop(ctx)
}

// peer moves a fresh guest once with QEMU.
func (b bench) peer(ctx context.Context, o qemu.MigrateOptions) (s sample, err error) {
	l, err := lab.New(2)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	p, err := b.startPair(ctx, l, qemu.Config{Cmdline: cmdline})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := p.listen(ctx, o); err != nil {
		return s, err
	}
	start := lab.Now()
	moved, err := p.move(ctx, o)
	if err != nil {
		return s, err
	}
	return sample{
		observed: milliseconds(p.observer.ReportSince(start).Longest.Downtime),
		reported: float64(moved.DowntimeMS), total: float64(moved.TotalMS),
	}, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
