package migration

import (
	"fmt"
	"sync"
	"time"
)

// gate keeps the channels of a push together at the target: a round is whole when every channel that carried some of it has
// ended it, and none may bring a page of the next before that. So no older version of a page lands behind a newer one.
type gate struct {
	mu     sync.Mutex // guards all below
	round  uint32     // that is due on every channel
	begun  bool       // something of it came
	final  bool       // its frames say that the guest is stopped
	done   bool       // the final round is whole
	others int        // channels beside bulk that carry some of it; -1: bulk has not said yet
	ended  int        // of those: they have ended it
	totals roundTotals
	since  time.Time // when the last one was whole
}

func newGate() *gate { return &gate{others: -1, since: time.Now()} }

// pass checks that a frame belongs to the round that is due. next is the first round that its channel has not ended.
func (g *gate) pass(h header, next uint32) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.done || h.Round != g.round || h.Round < next {
		return fmt.Errorf("%w: %v of round %d in round %d", ErrProtocol, h.Type, h.Round, g.round)
	}
	final := h.Flags&flagFinal != 0
	if g.begun && final != g.final {
		return fmt.Errorf("%w: %v: round %d changes its kind", ErrProtocol, h.Type, h.Round)
	}
	g.final, g.begun = final, true
	return nil
}

// end notes that a channel has ended the round that is due, with totals. others is what bulk says of the other channels,
// -1 from one of those. whole says that the round is, with what came of it.
func (g *gate) end(others int, totals roundTotals) (round Round, whole bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if others < 0 {
		g.ended++
	} else {
		g.others = others
	}
	if g.others >= MaxChannels || g.others >= 0 && g.ended > g.others {
		return Round{}, false, fmt.Errorf("%w: round %d over %d channels, of %d", ErrProtocol, g.round, g.ended+1, g.others+1)
	}
	g.totals.sum(totals)
	if g.ended != g.others {
		return Round{}, false, nil
	}
	now := time.Now()
	round = Round{Pages: g.totals.pages(), Bytes: g.totals.payload(), MS: milliseconds(now.Sub(g.since))}
	g.done = g.final
	g.round, g.begun, g.others, g.ended, g.totals, g.since = g.round+1, false, -1, 0, roundTotals{}, now
	return round, true, nil
}

// whole says whether the final round is.
func (g *gate) whole() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.done
}
