package drive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ferryvmm/ferry/guests/linux"
	"github.com/ferryvmm/ferry/internal/lab"
)

// NetSummary is what a soak of a guest's network found: of a client that sends
// loadgen a packet each millisecond, or has a TCP stream to Linux.
type NetSummary struct {
	Moves             int     `json:"moves"`
	PacketsSent       uint64  `json:"packets_sent"`
	PacketsLost       uint64  `json:"packets_lost"`
	PacketsDuplicated uint64  `json:"packets_duplicated"`
	PacketsReordered  uint64  `json:"packets_reordered"`
	PacketsWrong      uint64  `json:"packets_wrong"`
	LongestSilenceMS  float64 `json:"longest_silence_ms"`
	MedianSilenceMS   float64 `json:"median_silence_ms"`
	MedianDownMS      float64 `json:"median_downtime_ms"`
	MedianBeyondMS    float64 `json:"median_silence_beyond_downtime_ms"`
	LargestGapMS      float64 `json:"largest_gap_ms"` // between two heartbeats
	FramesForwarded   uint64  `json:"frames_forwarded"`
	FramesDropped     uint64  `json:"frames_dropped"`
	FramesLate        uint64  `json:"frames_late"`                    // these may be out of order
	StreamBytes       uint64  `json:"stream_bytes,omitempty"`         // of TCP, there and back
	Retransmitted     uint64  `json:"stream_retransmitted,omitempty"` // segments, by the client

	silences, downs, beyond []float64
}

// NetModes are the modes that a soak of the network goes through.
var NetModes = []string{"precopy", "postcopy"}

// netGuest is a guest of a soak of the network, and who talks with it.
type netGuest struct {
	Guest
	clients []lab.PingConfig
	stream  time.Duration // between two pieces of a TCP stream; 0: none
}

// netLoadgen answers ARP, pings and UDP.
func netLoadgen() netGuest {
	return netGuest{
		Guest: Guest{Memory: 64, Cmdline: "fill=16 wss=4 rate=4 net=" + NetGuest.String() + "/24"},
		clients: []lab.PingConfig{
			{To: NetGuest, Over: lab.UDP}, {To: NetGuest, Over: lab.ICMP, Every: 10 * lab.Pace},
		},
	}
}

// netLinux answers on a TCP connection only: where its kernel is interpreted, one
// packet takes it many milliseconds.
func netLinux(g linux.Guest) netGuest {
	return netGuest{
		Guest: Guest{
			Memory: linuxMemory, Period: linuxPeriod, Settle: linuxSettle,
			Cmdline: g.Cmdline + " ferry.heartbeat=100 ferry.ip=" + NetGuest.String() + "/24",
			Args:    []string{"--kernel", g.Kernel, "--initrd", g.Initramfs},
		},
		stream: 200 * time.Millisecond,
	}
}

// SoakNet moves loadgen back and forth between two hosts while a client asks it
// over UDP each millisecond, and by ICMP each ten. It fails when a move does not
// complete, when one packet is lost or doubled, or out of order though it did not
// reach the target late, or when anything is left behind.
func SoakNet(ctx context.Context, c SoakConfig) (NetSummary, error) {
	return soakNet(ctx, c, netLoadgen())
}

// SoakNetLinux is SoakNet of a Linux guest with a TCP stream, which may neither end
// nor be wrong, in place of questions.
func SoakNetLinux(ctx context.Context, c SoakConfig, g linux.Guest) (NetSummary, error) {
	return soakNet(ctx, c, netLinux(g))
}

func soakNet(ctx context.Context, c SoakConfig, g netGuest) (s NetSummary, err error) {
	n, err := NewNetWorld(c.Vmm)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	g.Name, g.CPUs, g.Args, g.Receive = "net", 1, append(g.Args, NetBridge...), NetBridge
	t, err := Boot(ctx, n.Sites, g.Guest)
	if err != nil {
		return s, err
	}
	if err := s.talk(ctx, c, n, t, g); err != nil {
		return s, err
	}
	if err := t.Stop(ctx); err != nil {
		return s, err
	}
	left, err := n.Leftovers()
	if len(left) > 0 {
		err = errors.Join(err, fmt.Errorf("drive: left behind: %q", left))
	}
	return s, errors.Join(err, s.Failure())
}

// talk makes the moves, while the guest is talked with.
func (s *NetSummary) talk(ctx context.Context, c SoakConfig, n *NetWorld, t *Trip, g netGuest) (err error) {
	within, cancel := context.WithTimeout(ctx, moveWithin)
	defer cancel()
	clients, err := StartClients(within, n.Client, g.clients...)
	if err != nil {
		return err
	}
	defer func() { s.count(clients.Stop()) }()
	if g.stream == 0 {
		return s.travel(ctx, c, t, clients, func(context.Context) error { return nil })
	}
	stream, err := StartStream(n.Client, NetGuest, g.stream)
	if err != nil {
		return err
	}
	err = s.travel(ctx, c, t, clients, stream.Await)
	streamed, stopped := stream.Stop()
	s.StreamBytes, s.Retransmitted = streamed.Bytes, uint64(streamed.Retransmitted)
	return errors.Join(err, stopped)
}

// travel makes the moves; goesOn must hold before and after each.
func (s *NetSummary) travel(ctx context.Context, c SoakConfig, t *Trip, clients Clients, goesOn func(context.Context) error) error {
	modes := c.Modes
	if len(modes) == 0 {
		modes = NetModes
	}
	for {
		if err := goesOn(ctx); err != nil || s.Moves == c.Moves {
			return err
		}
		start := lab.Now()
		m, err := soakMove(ctx, t, "--mode", modes[s.Moves%len(modes)])
		if err == nil {
			err = clients.Settle(ctx)
		}
		if err != nil {
			return fmt.Errorf("move %d: %w", s.Moves+1, err)
		}
		s.Moves++
		r := clients.ReportSince(start)
		s.moved(m, r.Silence)
		fmt.Fprintf(c.Log, "move %d/%d, %s: downtime %.1f ms, gap %.1f ms (%s); %v; %d frames forwarded, %d dropped, %d late\n", s.Moves, c.Moves, m.Mode,
			m.DowntimeMS, milliseconds(m.Gap()), m.Where(), r, m.Network.FramesForwarded, m.Network.FramesDropped, m.Network.FramesLate)
	}
}

// moved adds a move up.
func (s *NetSummary) moved(m Moved, silence time.Duration) {
	s.FramesForwarded += m.Network.FramesForwarded
	s.FramesDropped += m.Network.FramesDropped
	s.FramesLate += m.Network.FramesLate
	s.LargestGapMS = max(s.LargestGapMS, milliseconds(m.Gap()))
	s.silences = append(s.silences, milliseconds(silence))
	s.downs = append(s.downs, m.DowntimeMS)
	s.beyond = append(s.beyond, milliseconds(silence)-m.DowntimeMS)
	s.MedianSilenceMS, s.MedianDownMS, s.MedianBeyondMS = median(s.silences), median(s.downs), median(s.beyond)
}

// count takes over what the clients have seen.
func (s *NetSummary) count(r lab.PingReport) {
	s.PacketsSent, s.PacketsLost, s.PacketsDuplicated, s.PacketsReordered, s.PacketsWrong = r.Sent, r.Lost, r.Duplicated, r.Reordered, r.Wrong
	s.LongestSilenceMS = milliseconds(r.Silence)
}

// Failure says what became of packets that must not.
func (s *NetSummary) Failure() error {
	if s.PacketsLost+s.PacketsDuplicated+s.PacketsWrong == 0 && s.PacketsReordered <= s.FramesLate {
		return nil
	}
	return fmt.Errorf("drive: of %d packets got %d lost, %d doubled, %d wrong, %d out of order; want none, but of order %d that came late",
		s.PacketsSent, s.PacketsLost, s.PacketsDuplicated, s.PacketsWrong, s.PacketsReordered, s.FramesLate)
}
