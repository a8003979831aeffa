package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
	"github.com/ferryvmm/ferry/tests/qemu"
)

// What the quick benchmark moves, in MiB.
const (
	bulkMemory   = 320 // of which bulkFill are incompressible
	bulkFill     = 256
	shapedFill   = 96
	shapedLink   = 1e9
	sparseMemory = 8 << 10
	sparseFill   = 64
	spareWarm    = 512 // beyond that data, of what is warmed
	quickMoves   = 3
	bulkName     = "bulk"
)

// quickWays are QEMU's of moving memory that are compared: one stream, and multifd's channels.
var quickWays = []int{0, 1, 2, 4}

// quick is a sample of the benchmark: ratios, Ferry over the other. A ratio is absent where the other is. Rates are of the guest's data over the time
// from the first byte to the guest's start at the target.
type quick struct {
	ThroughputVsPump        float64  `json:"throughput_vs_pump"`           // of a TCP pump of as many streams, 1 Gbit/s; higher is better
	ThroughputVsPlacingPump float64  `json:"throughput_vs_placing_pump"`   // of the best placing pump, unshaped; higher is better
	ThroughputVsQEMU        *float64 `json:"throughput_vs_qemu,omitempty"` // of QEMU's best, unshaped; higher is better
	SparseTotalVsQEMU       *float64 `json:"sparse_total_vs_qemu,omitempty"`
	DowntimeVsQEMU          *float64 `json:"downtime_vs_qemu,omitempty"` // both lower is better
	CPUVsQEMU               *float64 `json:"cpu_per_gib_vs_qemu,omitempty"`

	PumpMbits    float64            `json:"pump_mbit_s_at_1g"`
	ShapedMbits  float64            `json:"ferry_mbit_s_at_1g"`
	BulkMbits    float64            `json:"ferry_mbit_s"`
	Channels     int                `json:"ferry_channels"`
	PlacingMbits map[string]float64 `json:"placing_pump_mbit_s"`
	QEMUMbits    map[string]float64 `json:"qemu_mbit_s,omitempty"`
	CPU          cost               `json:"ferry_cpu_s_per_gib"`
	QEMUCPU      map[string]cost    `json:"qemu_cpu_s_per_gib,omitempty"`
}

// cost is the CPU time of both sides for a GiB of the guest's data, in seconds. The target's has its start in it.
type cost struct {
	Source float64 `json:"source"`
	Target float64 `json:"target"`
}

// bulk is one move of much memory.
type bulk struct {
	mbits    float64
	channels int
	source   float64 // CPU seconds
	target   float64
	suite    string // of TLS; empty: none
}

func (b bulk) rate() float64 { return b.mbits }
func (b bulk) cost(fill int) cost {
	return cost{Source: b.source * 1024 / float64(fill), Target: b.target * 1024 / float64(fill)}
}

// rateOf is in Mbit/s.
func rateOf(mib int, ms float64) float64 { return float64(mib) * (8 << 20) / ms / 1000 }

// quick measures a little of everything that concerns bulk moves.
func (b bench) quick(ctx context.Context) (q quick, err error) {
	if err := b.quickShaped(ctx, &q); err != nil {
		return q, fmt.Errorf("1 Gbit/s: %w", err)
	}
	if err := b.quickBulk(ctx, &q); err != nil {
		return q, fmt.Errorf("bulk: %w", err)
	}
	if b.qemu.Path == "" {
		return q, nil
	}
	if err := b.quickSparse(ctx, &q); err != nil {
		return q, fmt.Errorf("sparse: %w", err)
	}
	var ours, theirs []float64
	for range quickMoves {
		s, err := b.ferry(ctx)
		if err != nil {
			return q, fmt.Errorf("downtime: %w", err)
		}
		p, err := b.peer(ctx, qemu.MigrateOptions{DowntimeLimit: 5, MaxBandwidth: qemu.Unlimited})
		if err != nil {
			return q, fmt.Errorf("downtime: %w", err)
		}
		ours, theirs = append(ours, s.observed), append(theirs, p.observed)
	}
	fmt.Printf("downtime, seen from outside, idle: %.1f ms, QEMU (limit 5 ms) %.1f\n", median(ours), median(theirs))
	q.DowntimeVsQEMU = ratio(median(ours), median(theirs))
	return q, nil
}

func ratio(ours, theirs float64) *float64 {
	if theirs <= 0 {
		return nil
	}
	r := ours / theirs
	return &r
}

// quickShaped compares with a pump where the link is what limits.
func (b bench) quickShaped(ctx context.Context, q *quick) error {
	all, pumped, err := b.ferryBulk(ctx, shapedFill, shapedLink, 2, []lab.Sink{lab.Discard})
	if err != nil {
		return err
	}
	q.ShapedMbits, q.PumpMbits = medianOf(all, bulk.rate), pumped[lab.Discard]
	q.ThroughputVsPump = q.ShapedMbits / q.PumpMbits
	fmt.Printf("1 Gbit/s: %.0f Mbit/s of data, pump %.0f\n", q.ShapedMbits, q.PumpMbits)
	return nil
}

// quickBulk compares with pumps and QEMU where the CPUs are what limits.
func (b bench) quickBulk(ctx context.Context, q *quick) error {
	all, pumped, err := b.ferryBulk(ctx, bulkFill, 0, quickMoves, lab.Placing)
	if err != nil {
		return err
	}
	q.BulkMbits, q.Channels = medianOf(all, bulk.rate), all[len(all)-1].channels
	q.CPU = cost{
		Source: medianOf(all, func(b bulk) float64 { return b.cost(bulkFill).Source }),
		Target: medianOf(all, func(b bulk) float64 { return b.cost(bulkFill).Target }),
	}
	fmt.Printf("unshaped: %.0f Mbit/s of data, CPU s/GiB: source %.2f, target %.2f\n", q.BulkMbits, q.CPU.Source, q.CPU.Target)
	q.PlacingMbits = make(map[string]float64)
	best := 0.0
	for sink, mbits := range pumped {
		fmt.Printf("  placing pump, %-9s %6.0f Mbit/s\n", sink, mbits)
		q.PlacingMbits[string(sink)] = mbits
		best = max(best, mbits)
	}
	q.ThroughputVsPlacingPump = q.BulkMbits / best
	if b.qemu.Path == "" {
		return nil
	}
	q.QEMUMbits, q.QEMUCPU = make(map[string]float64), make(map[string]cost)
	var peer bulk
	for _, n := range quickWays {
		name := "one stream"
		if n > 0 {
			name = fmt.Sprintf("multifd %d", n)
		}
		got, err := b.qemuBulk(ctx, n)
		if err != nil {
			return fmt.Errorf("qemu, %s: %w", name, err)
		}
		c := got.cost(bulkFill)
		q.QEMUMbits[name], q.QEMUCPU[name] = got.mbits, c
		fmt.Printf("  QEMU, %-16s %6.0f Mbit/s, CPU s/GiB: source %.2f, target %.2f\n", name, got.mbits, c.Source, c.Target)
		if got.mbits > peer.mbits {
			peer = got
		}
	}
	q.ThroughputVsQEMU = ratio(q.BulkMbits, peer.mbits)
	c := peer.cost(bulkFill)
	q.CPUVsQEMU = ratio(q.CPU.Source+q.CPU.Target, c.Source+c.Target)
	return nil
}

// quickSparse compares the total of a large guest of which little is data.
func (b bench) quickSparse(ctx context.Context, q *quick) error {
	r := ride{memory: sparseMemory, cmdline: fmt.Sprintf("fill=%d rate=0", sparseFill), warm: sparseFill}
	ours, err := b.ferryRide(ctx, r)
	if err != nil {
		return err
	}
	theirs, err := b.qemuRide(ctx, r, qemu.MigrateOptions{MaxBandwidth: qemu.Unlimited, Channels: 2})
	if err != nil {
		return err
	}
	fmt.Printf("8 GiB, 64 MiB of them data: %.0f ms in all, QEMU %.0f\n", ours.total, theirs.total)
	q.SparseTotalVsQEMU = ratio(ours.total, theirs.total)
	return nil
}

// ferryBulk moves a guest there and back, and has pumps run on the same path between the moves; it returns the medians of those.
func (b bench) ferryBulk(ctx context.Context, fill int, link uint64, moves int, sinks []lab.Sink) (all []bulk, pumped map[lab.Sink]float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, rideWithin)
	defer cancel()
	w, err := drive.NewWorld(b.vmm, 2)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	t, err := bulkTrip(ctx, w, link, fill, "random")
	if err != nil {
		return nil, nil, err
	}
	rates := make(map[lab.Sink][]float64)
	for range moves {
		got, err := b.ferryMove(ctx, w, t, fill)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, got)
		for _, sink := range sinks {
			if err := warmFor(fill); err != nil {
				return nil, nil, err
			}
			p, err := lab.Pump(w.Lab.Hosts[0], w.Lab.Hosts[1], uint64(fill)<<20, got.channels, sink)
			if err != nil {
				return nil, nil, err
			}
			rates[sink] = append(rates[sink], p.BitsPerSecond()/1e6)
		}
	}
	pumped = make(map[lab.Sink]float64)
	for sink, list := range rates {
		pumped[sink] = median(list)
	}
	return all, pumped, t.Stop(ctx)
}

// bulkTrip boots a guest for bulk moves on two hosts, on a link of their own.
func bulkTrip(ctx context.Context, w *drive.World, link uint64, fill int, data string) (*drive.Trip, error) {
	if err := (ride{link: link}).shaped(w.Lab.Hosts); err != nil {
		return nil, err
	}
	return drive.Boot(ctx, w.Sites, drive.Guest{Name: bulkName, Memory: fill + bulkMemory - bulkFill, CPUs: 1, Cmdline: bulkCmdline(fill, data)})
}

// fillOver is how much the guest of a bulk move has over a link, in MiB: less where that is slow.
func fillOver(link uint64) int {
	if link != 0 && link <= shapedLink {
		return shapedFill
	}
	return bulkFill
}

// bulkCmdline is of a guest that leaves the CPUs to its move: heartbeats cost it much where ring 0 is interpreted.
func bulkCmdline(fill int, data string) string {
	return fmt.Sprintf("fill=%d wss=1 rate=0 verify=0 data=%s heartbeat=2000", fill, data)
}

// warmFor makes the memory that a move of so many MiB of data needs cost all alike.
func warmFor(mib int) error { return lab.Warm(uint64(min(2*mib, mib+spareWarm)) << 20) }

// ferryMove is one move of a bulkTrip, with these flags.
func (b bench) ferryMove(ctx context.Context, w *drive.World, t *drive.Trip, fill int, args ...string) (bulk, error) {
	machine, err := w.Sites[t.At].Info(ctx, bulkName)
	if err != nil {
		return bulk{}, err
	}
	source := t.Process
	before, err := cpuOf(source.PID(), machine.PID)
	if err != nil {
		return bulk{}, err
	}
	if err := warmFor(fill); err != nil {
		return bulk{}, err
	}
	m, err := t.Move(ctx, append([]string{"--mode", "precopy"}, args...)...)
	if err == nil && m.Outcome != "completed" {
		err = fmt.Errorf("got outcome %s (%s); want completed", m.Outcome, m.Reason)
	}
	if err != nil {
		return bulk{}, err
	}
	if machine, err = w.Sites[t.At].Info(ctx, bulkName); err != nil {
		return bulk{}, err
	}
	target, err := cpuOf(t.Process.PID(), machine.PID)
	return bulk{
		mbits: rateOf(fill, m.Phases.PushMS+m.Phases.StopMS), channels: max(len(m.Channels), 1),
		source: source.CPU().Seconds() - before, target: target, suite: m.TLS,
	}, err
}

// qemuBulk is one move with QEMU, multifd's channels if there are to be any.
func (b bench) qemuBulk(ctx context.Context, channels int) (got bulk, err error) {
	ctx, cancel := context.WithTimeout(ctx, sampleWithin)
	defer cancel()
	l, err := lab.New(2)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	p, err := b.startPair(ctx, l, qemu.Config{Cmdline: bulkCmdline(bulkFill, "random"), Memory: bulkMemory})
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	o := qemu.MigrateOptions{MaxBandwidth: qemu.Unlimited, Channels: channels}
	if err := p.listen(ctx, o); err != nil {
		return got, err
	}
	before, err := cpuOf(p.source.PID())
	if err != nil {
		return got, err
	}
	if err := warmFor(bulkFill); err != nil {
		return got, err
	}
	moved, err := p.move(ctx, o)
	if err != nil {
		return got, err
	}
	after, err := cpuOf(p.source.PID())
	if err != nil {
		return got, err
	}
	target, err := cpuOf(p.target.PID())
	return bulk{mbits: rateOf(bulkFill, float64(moved.TotalMS-moved.SetupMS)), channels: channels, source: after - before, target: target}, err
}
