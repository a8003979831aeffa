package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
	"github.com/ferryvmm/ferry/tests/qemu"
)

const (
	silenceGoal = 2.0 // ms, of the client's longest silence beyond the downtime
	learnGoal   = 1.0 // ms, from the first sign of life at the target until bridges know
)

// netmoveCmdline is the guest's: idle but for its network.
var netmoveCmdline = cmdline + " net=" + drive.NetGuest.String() + "/24"

// netmove is what a client that asks each millisecond sees of moves: medians, in ms.
type netmove struct {
	Way        string  `json:"way"`
	Samples    int     `json:"samples"`
	SilenceMS  float64 `json:"longest_silence_ms"`
	ReportedMS float64 `json:"reported_downtime_ms"`
	BeyondMS   float64 `json:"silence_beyond_downtime_ms"`
	Lost       uint64  `json:"packets_lost"` // in all samples
	Duplicated uint64  `json:"packets_duplicated"`
	Reordered  uint64  `json:"packets_reordered"`
	SwitchMS   float64 `json:"switch_learns_ms"` // after the first heartbeat at the target; negative: before
	BridgeMS   float64 `json:"target_bridge_learns_ms"`
	Forwarded  uint64  `json:"frames_forwarded"`

	all []netmoved
}

// netmoved is one move; times in ms.
type netmoved struct {
	seen             lab.PingReport
	reported         float64
	toSwitch, toPort float64
	forwarded        uint64
}

// netmove moves a guest that a client asks, with each VMM in turn.
func (b bench) netmove(ctx context.Context, r *results) error {
	var list []netmove
	var ways []func(context.Context) (netmoved, error)
	for _, mode := range drive.NetModes {
		list = append(list, netmove{Way: "ferry, " + mode})
		ways = append(ways, func(ctx context.Context) (netmoved, error) { return b.ferryNetmove(ctx, mode) })
	}
	if b.qemu.Path != "" {
		list = append(list, netmove{Way: "qemu " + b.qemu.Version + ", limit 5 ms"})
		ways = append(ways, b.qemuNetmove)
	}
	for n := range b.samples {
		for i, way := range ways {
			ctx, cancel := context.WithTimeout(ctx, sampleWithin)
			one, err := way(ctx)
			cancel()
			if err != nil {
				return fmt.Errorf("%s, sample %d: %w", list[i].Way, n+1, err)
			}
			at := what{"netmove", list[i].Way, "", 0, n}
			b.record.add(at, metric{"silence", "ms", -1}, milliseconds(one.seen.Silence))
			b.record.add(at, reportedMS, one.reported)
			b.record.add(at, metric{"lost", "packets", -1}, float64(one.seen.Lost))
			list[i].all = append(list[i].all, one)
		}
	}
	fmt.Printf("%d MiB guest, idle, asked each ms by a client on the switch; medians of %d, in ms; packets of all\n", memory, b.samples)
	fmt.Printf("%-24s %8s %9s %7s %6s %8s %10s %13s %13s\n", "", "silence", "downtime", "beyond", "lost", "doubled", "forwarded", "switch learns", "bridge learns")
	for i := range list {
		m := &list[i]
		m.summarize()
		fmt.Printf("%-24s %8.1f %9.1f %7.1f %6d %8d %10d %13.1f %13.1f\n",
			m.Way, m.SilenceMS, m.ReportedMS, m.BeyondMS, m.Lost, m.Duplicated, m.Forwarded, m.SwitchMS, m.BridgeMS)
	}
	for _, m := range list[:len(drive.NetModes)] {
		fmt.Printf("goals, %s: silence at most %.0f ms beyond the downtime: %s; no packet lost or doubled: %s; bridges know within %.0f ms: %s\n", m.Way,
			silenceGoal, verdict(m.BeyondMS <= silenceGoal), verdict(m.Lost+m.Duplicated+m.Reordered == 0), learnGoal, verdict(max(m.SwitchMS, m.BridgeMS) <= learnGoal))
	}
	r.NetMove = list
	return nil
}

func (m *netmove) summarize() {
	m.Samples = len(m.all)
	m.SilenceMS = medianOf(m.all, func(n netmoved) float64 { return milliseconds(n.seen.Silence) })
	m.ReportedMS = medianOf(m.all, func(n netmoved) float64 { return n.reported })
	m.BeyondMS = medianOf(m.all, func(n netmoved) float64 { return milliseconds(n.seen.Silence) - n.reported })
	m.SwitchMS = medianOf(m.all, func(n netmoved) float64 { return n.toSwitch })
	m.BridgeMS = medianOf(m.all, func(n netmoved) float64 { return n.toPort })
	for _, one := range m.all {
		m.Lost += one.seen.Lost
		m.Duplicated += one.seen.Duplicated
		m.Reordered += one.seen.Reordered
		m.Forwarded += one.forwarded
	}
}

// watched is a client that asks, and who watches the bridges learn.
type watched struct {
	ping             *lab.Ping
	port             string          // of the switch, to the target
	toSwitch, toPort *lab.Forwarding // of the switch, and of the target's bridge
	start            time.Duration
}

// watch begins once the guest answers.
func watch(ctx context.Context, l *lab.Lab, target, client *lab.Host, mac net.HardwareAddr) (*watched, error) {
	w := &watched{port: target.Port()}
	var err error
	if w.ping, err = lab.StartPing(lab.PingConfig{From: client, To: drive.NetGuest, Over: lab.UDP}); err != nil {
		return nil, err
	}
	if err = w.ping.Begin(ctx); err == nil {
		w.toSwitch, err = l.Forwarding(mac)
	}
	if err == nil {
		w.toPort, err = target.Forwarding(mac)
	}
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	w.start = lab.Now()
	return w, nil
}

// moved tells what was seen of a move, after which the guest was alive at the target.
func (w *watched) moved(ctx context.Context, alive time.Duration, reported float64) (netmoved, error) {
	far, err := w.toSwitch.Wait(ctx, w.start, func(f lab.Forwarded) bool { return f.Port == w.port })
	if err != nil {
		return netmoved{}, err
	}
	near, err := w.toPort.Wait(ctx, w.start, func(f lab.Forwarded) bool { return f.Port != "" && f.Port != "eth0" })
	if err != nil {
		return netmoved{}, err
	}
	if err := w.ping.Settle(ctx); err != nil {
		return netmoved{}, err
	}
	return netmoved{seen: w.ping.ReportSince(w.start), reported: reported, toSwitch: milliseconds(far.At - alive), toPort: milliseconds(near.At - alive)}, nil
}

func (w *watched) close() (err error) {
	w.ping.Stop()
	for _, f := range []*lab.Forwarding{w.toSwitch, w.toPort} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// ferryNetmove moves a fresh guest once.
func (b bench) ferryNetmove(ctx context.Context, mode string) (one netmoved, err error) {
	n, err := drive.NewNetWorld(b.vmm)
	if err != nil {
		return one, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	mac, err := net.ParseMAC(guestMAC)
	if err != nil {
		return one, err
	}
	t, err := drive.Boot(ctx, n.Sites, drive.Guest{
		Name: "bench", Memory: memory, CPUs: 1, Cmdline: netmoveCmdline, Settle: settleBeats,
		Args: []string{"--net", "eth=bridge=" + lab.BridgeName + ",mac=" + guestMAC}, Receive: drive.NetBridge,
	})
	if err != nil {
		return one, err
	}
	w, err := watch(ctx, n.Lab, n.Sites[1].Host, n.Client, mac)
	if err != nil {
		return one, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	m, err := t.Move(ctx, "--mode", mode)
	if err == nil && m.Outcome != "completed" {
		err = fmt.Errorf("got outcome %s (%s); want completed", m.Outcome, m.Reason)
	}
	if err != nil {
		return one, err
	}
	if one, err = w.moved(ctx, m.Alive, m.DowntimeMS); err != nil {
		return one, err
	}
	one.forwarded = m.Network.FramesForwarded
	return one, t.Stop(ctx)
}

// qemuNetmove moves a fresh guest once with QEMU, whose taps are there on both hosts.
func (b bench) qemuNetmove(ctx context.Context) (one netmoved, err error) {
	l, err := lab.New(3)
	if err != nil {
		return one, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	for _, h := range l.Hosts[:2] {
		if err := errors.Join(h.Bridge(), h.Tap(tapName)); err != nil {
			return one, err
		}
	}
	mac, err := net.ParseMAC(guestMAC)
	if err != nil {
		return one, err
	}
	how := qemu.MigrateOptions{DowntimeLimit: 5, MaxBandwidth: qemu.Unlimited}
	p, err := b.startPair(ctx, l, qemu.Config{Cmdline: netmoveCmdline, NIC: &qemu.NIC{Tap: tapName, MAC: guestMAC}})
	if err != nil {
		return one, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := p.listen(ctx, how); err != nil {
		return one, err
	}
	w, err := watch(ctx, l, l.Hosts[1], l.Hosts[2], mac)
	if err != nil {
		return one, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	moved, err := p.move(ctx, how)
	if err != nil {
		return one, err
	}
	return w.moved(ctx, p.observer.FirstBeat(p.arrives), float64(moved.DowntimeMS))
}
