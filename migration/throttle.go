package migration

import "time"

// Throttler is a Guest whose vCPUs can be slowed down.
type Throttler interface {
	// Throttle has vCPUs stand still for that share of the time, in percent below 100; 0 ends it. Pause must be as
	// quick as ever. A guest that is paused takes it up when it runs.
	Throttle(percent int) error
}

// Throttled says how much a move has slowed the guest down.
type Throttled struct {
	MaxPercent int     `json:"max_percent"` // of the time that vCPUs stood still
	MS         float64 `json:"ms"`          // during which they did
}

const (
	// throttleAfter is how many rounds are made before the guest is slowed down: the first says how much
	// there is, the second how much of it is written again.
	throttleAfter = 2
	// throttleStep is the least by which it is slowed down more, in percent.
	throttleStep = 10
)

// throttle decides how much the guest is slowed down. It is a value without a clock.
type throttle struct {
	ceiling int // percent; 0: never
	percent int
	since   time.Duration // when it was not 0 any more
}

// next decides after a round whether to slow the guest down more: if the rounds diverge, to where the next round
// would be a quarter of this one, if the guest writes in proportion to the time that it runs.
func (t *throttle) next(rounds int, f *forecast, pages uint64) {
	if rounds < throttleAfter || t.percent >= t.ceiling || f.fixed() > f.limit || !f.diverges(pages) {
		return
	}
	runs := float64(100-t.percent) * divergence / 2 / f.left(pages)
	t.percent = min(max(100-int(runs), t.percent+throttleStep), t.ceiling)
}

// slowDown throttles the guest if its writes outrun the rounds. It tells whether the next round may show that this is enough: a move
// that could have the target pull does not yet.
func (s *sender) slowDown(pages uint64) (slower bool, err error) {
	guest, ok := s.Guest.(Throttler)
	if !ok || s.throttle.ceiling == 0 {
		return false, nil
	}
	s.mu.Lock()
	t := &s.throttle
	before, rounds := t.percent, s.machine.round
	t.next(rounds, &s.machine.forecast, pages)
	if before == 0 {
		t.since = time.Since(s.start)
	}
	now := t.percent
	s.mu.Unlock()
	if now == before {
		return rounds < throttleAfter, nil
	}
	return true, guest.Throttle(now)
}

// speedUp ends what slowDown began.
func (s *sender) speedUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.throttle.percent == 0 {
		return
	}
	s.throttled = Throttled{MaxPercent: s.throttle.percent, MS: milliseconds(time.Since(s.start) - s.throttle.since)}
	s.throttle.percent = 0
	_ = s.Guest.(Throttler).Throttle(0) // there is no worse than before, and nobody who could do better
}
