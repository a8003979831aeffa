package migration

import (
	"time"

	"github.com/ferryvmm/ferry/guestmem"
)

const (
	// sampleAfter is how long the guest is watched before its writes are judged, and
	// sampleEvery how often.
	sampleAfter = 100 * time.Millisecond
	sampleEvery = 50 * time.Millisecond
)

// watches says whether the guest's writes are to be seen from the first.
func (s *sender) watches() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watchesLocked()
}

// watchesLocked is watches for who holds mu. A guest that may be slowed down is judged by its rounds.
func (s *sender) watchesLocked() bool {
	return s.machine.mode == Auto && s.machine.canPull && s.throttle.ceiling == 0
}

// sample looks, in the first round of a move that may pull, at how much the
// guest writes. If that is more than rounds can keep up with, the round ends at
// once: all that would be sent of it is written again.
func (s *sender) sample() {
	s.mu.Lock()
	watch := s.watchesLocked() && s.machine.round == 0 && !s.diverging
	began := s.times.round
	round := s.machine.forecast.roundTrip
	limit := s.machine.forecast.limit - s.machine.forecast.fixed()
	s.mu.Unlock()
	now := time.Now()
	if !watch || now.Sub(began) < sampleAfter || now.Sub(s.sampled) < sampleEvery {
		return
	}
	s.sampled = now
	dirtied, err := s.tracker.Sample()
	if err != nil {
		return // the next harvest says it again
	}
	took := now.Sub(began)
	written := float64(dirtied*guestmem.PageSize) / took.Seconds()
	sent := float64(s.bulk.sent.Load()+s.channels.sent()+s.packing.saved()) / max(took-round, time.Millisecond).Seconds()
	final := time.Duration(float64(dirtied*guestmem.PageSize) / sent * float64(time.Second))
	if written >= divergence*sent && final > limit {
		s.diverging = true
		s.pages.cut.Store(true)
	}
}
