package pack

import "time"

const (
	// paceTime is over what time it is judged whether packing pays: so long that the network's buffers do not hide what it takes.
	paceTime = 40 * time.Millisecond
	// paceFirst is over what time it is first seen what leaves without packing: by what is confirmed, of which buffers hide nothing.
	paceFirst = 15 * time.Millisecond
	// paceGain is how much more memory than without packing must leave for that.
	paceGain = 1.03
	// paceFresh is for how long it is believed what leaves without packing.
	paceFresh = 1280 * time.Millisecond
	// restLeast and restMost bound the time without packing: each time that it does not pay, twice as long as before.
	restLeast = 80 * time.Millisecond
	restMost  = 1280 * time.Millisecond
)

// Ahead is how many bytes must wait for a link of which nothing is known yet for packing those that follow: it will not be seen there. As they are,
// buffers would take megabytes of them, and all that has to leave before what is packed.
const Ahead = 1 << 20

// Flow is what the network has of a move, over all its connections.
type Flow struct {
	Acked   uint64 // bytes that the other host has confirmed
	Waiting uint64 // bytes that are written, and wait to be sent; 0 also where that is not known
}

// Pace judges by the clock whether packing pays: by how much memory leaves with it, and without, which it tries first, and again now and then. Where too little leaves
// with it, because the processors have no time or the pages do not become smaller, packing rests for a while. It has no clock of its own.
type Pace struct {
	since  time.Time // of what is measured; zero: nothing is
	bytes  uint64    // of pages since then
	began  Flow      // what the network had then
	packs  bool
	raw    float64   // what leaves without packing, in bytes a second; 0: unknown
	stale  time.Time // when raw is to be measured again; zero: a while from now
	rest   time.Duration
	resume time.Time // when packing may go on
}

// NewPace makes one for a link of which it is known what leaves without packing, in bytes a second; 0: it is not.
func NewPace(raw float64) Pace { return Pace{raw: raw, packs: raw > 0} }

// Begin has what is measured begin anew: nothing was sent for a while.
func (p *Pace) Begin() { p.since = time.Time{} }

// Raw is how much memory leaves without packing, in bytes a second; 0: unknown.
func (p *Pace) Raw() float64 { return p.raw }

// Pays takes bytes of pages that were written since it was called last, and what the network has now, and says whether to pack the next. What leaves
// is what was written, and what waited before and does not any more.
func (p *Pace) Pays(now time.Time, bytes uint64, has Flow) bool {
	if p.stale.IsZero() {
		p.stale = now.Add(paceFresh)
	}
	if p.since.IsZero() {
		p.begin(now, has)
		return p.packs || has.Waiting >= Ahead && !now.Before(p.resume)
	}
	p.bytes += bytes
	took := now.Sub(p.since)
	if now.Before(p.resume) {
		return false
	}
	if took < paceTime && (p.raw > 0 || took < paceFirst) {
		return p.packs || has.Waiting >= Ahead
	}
	rate := (float64(p.bytes) + float64(p.began.Waiting) - float64(has.Waiting)) / took.Seconds()
	switch {
	case !p.packs: // written is what the buffers took, confirmed what the link did
		if has.Acked > p.began.Acked {
			p.raw = float64(has.Acked-p.began.Acked) / took.Seconds()
		}
		p.packs, p.stale = p.raw > 0, now.Add(paceFresh)
	case rate < paceGain*p.raw:
		p.rest = min(max(2*p.rest, restLeast), restMost)
		p.packs, p.resume = false, now.Add(p.rest)
	default:
		p.rest = 0
		p.packs = now.Before(p.stale)
	}
	p.begin(now, has)
	return p.packs
}

func (p *Pace) begin(now time.Time, has Flow) { p.since, p.bytes, p.began = now, 0, has }
