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

// Pace judges by the clock whether packing pays: by how much memory leaves with it, and without, which it tries first, and again now and then. Where too little leaves
// with it, because the processors have no time or the pages do not become smaller, packing rests for a while. It has no clock of its own.
type Pace struct {
	since  time.Time // of what is measured; zero: nothing is
	bytes  uint64    // of pages since then
	acked  uint64    // of the network when that began
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

// Pays takes bytes of pages that have left since it was called last, and how many bytes the other host has confirmed so far, and says whether to pack the next.
func (p *Pace) Pays(now time.Time, bytes, acked uint64) bool {
	if p.stale.IsZero() {
		p.stale = now.Add(paceFresh)
	}
	if p.since.IsZero() {
		p.begin(now, acked)
		return p.packs
	}
	p.bytes += bytes
	took := now.Sub(p.since)
	if took < paceTime && (p.raw > 0 || took < paceFirst) || now.Before(p.resume) {
		return p.packs
	}
	rate := float64(p.bytes) / took.Seconds()
	switch {
	case !p.packs: // written is what the buffers took, confirmed what the link did
		if acked > p.acked {
			p.raw = float64(acked-p.acked) / took.Seconds()
		}
		p.packs, p.stale = p.raw > 0, now.Add(paceFresh)
	case rate < paceGain*p.raw:
		p.rest = min(max(2*p.rest, restLeast), restMost)
		p.packs, p.resume = false, now.Add(p.rest)
	default:
		p.rest = 0
		p.packs = now.Before(p.stale)
	}
	p.begin(now, acked)
	return p.packs
}

func (p *Pace) begin(now time.Time, acked uint64) { p.since, p.bytes, p.acked = now, 0, acked }
