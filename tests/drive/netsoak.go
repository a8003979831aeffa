package drive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
)

// NetSummary is what a soak of a guest's network found: of a client that sends a
// packet each millisecond.
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
	FramesLate        uint64  `json:"frames_late"`

	silences, downs, beyond []float64
}

// NetModes are the modes that a soak of the network goes through.
var NetModes = []string{"precopy", "postcopy"}

// netCmdline is that of its guest, which answers ARP, pings and UDP.
const netCmdline = "fill=16 wss=4 rate=4 net="

// SoakNet moves a guest back and forth between two hosts while a client asks it
// over UDP each millisecond, and by ICMP each ten. It fails when a move does not
// complete, when one packet is lost, doubled or out of order, or when anything is
// left behind.
func SoakNet(ctx context.Context, c SoakConfig) (s NetSummary, err error) {
	n, err := NewNetWorld(c.Vmm)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	t, err := Boot(ctx, n.Sites, Guest{Name: "net", Memory: 64, CPUs: 1, Cmdline: netCmdline + NetGuest.String() + "/24", Args: NetBridge, Receive: NetBridge})
	if err != nil {
		return s, err
	}
	clients, err := StartClients(ctx, n.Client, lab.PingConfig{To: NetGuest, Over: lab.UDP}, lab.PingConfig{To: NetGuest, Over: lab.ICMP, Every: 10 * lab.Pace})
	if err != nil {
		return s, errors.Join(err, t.Process.Kill())
	}
	err = s.travel(ctx, c, t, clients)
	s.count(clients.Stop())
	if err != nil {
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

// travel makes the moves.
func (s *NetSummary) travel(ctx context.Context, c SoakConfig, t *Trip, clients Clients) error {
	modes := c.Modes
	if len(modes) == 0 {
		modes = NetModes
	}
	for s.Moves < c.Moves {
		start := lab.Now()
		m, err := soakMove(ctx, t, "--mode", modes[s.Moves%len(modes)])
		if err == nil {
			err = clients.Settle(ctx)
		}
		if err != nil {
			return fmt.Errorf("move %d: %w", s.Moves+1, err)
		}
		s.Moves++
		r := clients[0].ReportSince(start)
		s.moved(m, r.Silence)
		fmt.Fprintf(c.Log, "move %d/%d, %s: downtime %.1f ms, gap %.1f ms (%s); %v; %d frames forwarded, %d dropped, %d late\n", s.Moves, c.Moves, m.Mode,
			m.DowntimeMS, milliseconds(m.Gap()), m.Where(), r, m.Network.FramesForwarded, m.Network.FramesDropped, m.Network.FramesLate)
	}
	return nil
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
	if s.PacketsLost+s.PacketsDuplicated+s.PacketsReordered+s.PacketsWrong == 0 {
		return nil
	}
	return fmt.Errorf("drive: of %d packets got %d lost, %d doubled, %d out of order, %d wrong; want none",
		s.PacketsSent, s.PacketsLost, s.PacketsDuplicated, s.PacketsReordered, s.PacketsWrong)
}
