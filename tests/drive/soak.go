package drive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
)

// moveWithin bounds one move of a soak.
const moveWithin = 2 * time.Minute

// SoakConfig is a soak: one busy guest moved back and forth.
type SoakConfig struct {
	Vmm   string // path of the binary
	Moves int
	Modes []string  // of the moves, in turn; SoakModes if empty
	Log   io.Writer // a line a move, for people
}

// SoakModes are the modes that a soak goes through.
var SoakModes = []string{"precopy", "postcopy", "auto", "hybrid", "stopcopy"}

// SoakSummary is what a soak found. All but the first three are more than the
// contract asks for.
type SoakSummary struct {
	Moves             int            `json:"moves"`
	CorruptPages      uint64         `json:"corrupt_pages"`
	LargestGapMS      float64        `json:"largest_gap_ms"`
	MedianGapMS       float64        `json:"median_gap_ms"`
	MedianTotalMS     float64        `json:"median_total_ms"`
	VerifiedPages     uint64         `json:"verified_pages"`
	ReadsDoubled      uint64         `json:"reads_doubled"`
	ReadsLost         uint64         `json:"reads_lost"`
	HeartbeatsLost    uint64         `json:"heartbeats_lost"`
	HeartbeatsDoubled uint64         `json:"heartbeats_doubled"`
	WriteMiBS         float64        `json:"write_mib_s"`
	Modes             map[string]int `json:"modes"` // how many moves were made in each, as done
	PulledPages       uint64         `json:"pulled_pages"`
}

// The guest of a soak, in MiB and MiB/s.
const (
	soakMemory = 512
	soakFill   = 160
	soakWSS    = 128
	soakRate   = 32
)

// Soak moves one guest back and forth between two hosts, and fails when a move
// does not complete, when the guest counted anything wrong, or when anything
// is left behind. How long the gaps are fails nothing.
func Soak(ctx context.Context, c SoakConfig) (SoakSummary, error) {
	w, err := NewWorld(c.Vmm, 2)
	if err != nil {
		return SoakSummary{}, err
	}
	s, err := soak(ctx, c, w)
	if err == nil {
		var left []string
		if left, err = w.Leftovers(); len(left) > 0 {
			err = fmt.Errorf("drive: left behind: %q", left)
		}
	}
	return s, errors.Join(err, w.Close())
}

func soak(ctx context.Context, c SoakConfig, w *World) (s SoakSummary, err error) {
	t, err := Boot(ctx, w.Sites, Guest{
		Name: "soak", Memory: soakMemory, CPUs: 2,
		Cmdline: fmt.Sprintf("fill=%d wss=%d rate=%d countreg=1", soakFill, soakWSS, soakRate),
	})
	if err != nil {
		return s, err
	}
	defer func() { s.count(t.Observer.Report()) }() // also of a soak that fails
	var gaps, totals []float64
	modes := c.Modes
	if len(modes) == 0 {
		modes = SoakModes
	}
	s.Modes = make(map[string]int)
	for s.Moves < c.Moves {
		m, err := soakMove(ctx, t, "--mode", modes[s.Moves%len(modes)])
		if err != nil {
			return s, fmt.Errorf("move %d: %w", s.Moves+1, err)
		}
		s.Moves++
		s.Modes[m.Mode]++
		s.PulledPages += m.PulledPages
		gap := milliseconds(m.Gap())
		gaps, totals = append(gaps, gap), append(totals, m.TotalMS)
		s.LargestGapMS, s.MedianGapMS, s.MedianTotalMS = slices.Max(gaps), median(gaps), median(totals)
		fmt.Fprintf(c.Log, "move %d/%d, %s: gap %.1f ms (%s), downtime %.1f ms, total %.0f ms, %d rounds, %d MiB sent\n",
			s.Moves, c.Moves, m.Mode, gap, m.Where(), m.DowntimeMS, m.TotalMS, len(m.Rounds), m.SentBytes>>20)
	}
	if err := verifyWithin(ctx, t); err != nil {
		return s, err
	}
	s.WriteMiBS = t.Observer.Stat().Values["write_mib_s"]
	return s, t.Stop(ctx)
}

// verifyWithin verifies every page after the last move.
func verifyWithin(ctx context.Context, t *Trip) error {
	ctx, cancel := context.WithTimeout(ctx, moveWithin)
	defer cancel()
	return t.Verify(ctx)
}

// count takes over what the guest and the observer have counted.
func (s *SoakSummary) count(r lab.Report) {
	s.CorruptPages = max(r.Stat.Corrupt, r.Corrupt)
	s.VerifiedPages, s.ReadsDoubled, s.ReadsLost = r.Stat.Verified, r.Stat.Doubled, r.Stat.Lost
	s.HeartbeatsLost, s.HeartbeatsDoubled = r.Lost, r.Extra
}

// soakMove makes one move and wants it completed and nothing counted wrong.
func soakMove(ctx context.Context, t *Trip, args ...string) (Moved, error) {
	ctx, cancel := context.WithTimeout(ctx, moveWithin)
	defer cancel()
	m, err := t.Move(ctx, args...)
	switch {
	case err != nil:
		return m, err
	case m.Outcome != "completed":
		return m, fmt.Errorf("drive: got outcome %s (%s), %+v; want completed", m.Outcome, m.Reason, m.Error)
	}
	return m, wrong(m.Seen)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// median of a list that is not empty.
func median[T cmp.Ordered](list []T) T {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}
