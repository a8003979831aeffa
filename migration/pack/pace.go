package pack

import "time"

const (
	// paceTime is over what time it is judged whether packing pays: so long that the network's buffers do not hide what it takes.
	paceTime = 40 * time.Millisecond
	// paceGain is how much more memory than the link takes as it is must leave for that.
	paceGain = 1.03
	// restLeast and restMost bound the time without packing: each time that it does not pay, twice as long as before.
	restLeast = 80 * time.Millisecond
	restMost  = 1280 * time.Millisecond
)

// Pace judges by the clock whether packing pays: where too little memory leaves, because the processors have no time or the pages do not
// become smaller, packing rests for a while. It has no clock of its own. The zero value is ready.
type Pace struct {
	since time.Time // of what is judged; zero: nothing is
	bytes uint64    // of pages since then
	rest  time.Duration
	until time.Time // when the rest ends
}

// Begin has what is judged begin anew: nothing was sent for a while.
func (p *Pace) Begin() { p.since = time.Time{} }

// Pays takes bytes of pages that have left since it was called last, and how fast the link is (bytes a second), and says whether to pack the next.
func (p *Pace) Pays(now time.Time, bytes uint64, link float64) bool {
	if now.Before(p.until) {
		p.since = time.Time{}
		return false
	}
	if p.since.IsZero() {
		p.since, p.bytes = now, 0
		return true
	}
	p.bytes += bytes
	took := now.Sub(p.since)
	if took < paceTime {
		return true
	}
	pays := float64(p.bytes) >= paceGain*link*took.Seconds()
	p.since, p.bytes = now, 0
	if pays {
		p.rest = 0
		return true
	}
	p.rest = min(max(2*p.rest, restLeast), restMost)
	p.until = now.Add(p.rest)
	return false
}
