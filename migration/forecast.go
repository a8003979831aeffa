package migration

import (
	"time"

	"github.com/ferryvmm/ferry/guestmem"
)

const (
	// bandwidthWindow is how much of the latest rounds the bandwidth is
	// measured over, in bytes: a small round says little.
	bandwidthWindow = 16 << 20
	// tinyTime is what a pending set may take without another round being worth it.
	tinyTime = time.Millisecond
	// tinyPages likewise, where nothing is known of the bandwidth.
	tinyPages = 16
	// extraRounds bounds the rounds made only to shrink the downtime further
	// below its limit.
	extraRounds = 4
	// divergence is how much of a round may be left for the next, as a share, before
	// the rounds are held for vain: a half means that all rounds to come are as much
	// as the one that is due.
	divergence = 0.5
)

// forecast predicts the downtime if the guest were stopped now. It is a value
// without a clock: all times come in.
type forecast struct {
	limit     time.Duration
	rehearsal time.Duration // of the target
	save      time.Duration // pausing and saving here, as estimated
	seen      time.Duration // likewise, as measured when a stop was abandoned; it fades with each round, lest one unlucky stop rule out every other
	roundTrip time.Duration

	line  float64          // bytes a second of the last round, where those before are held back
	bytes [8]uint64        // of the latest rounds, newest first
	times [8]time.Duration // likewise
	extra int              // rounds made although the limit was kept
	last  uint64           // pending pages at the last decision, 0 if there was none
}

// sent notes a round: bytes of pages, and the time from its begin to its acknowledgement.
func (f *forecast) sent(bytes uint64, took time.Duration) {
	copy(f.bytes[1:], f.bytes[:])
	copy(f.times[1:], f.times[:])
	// The round trip is not the pages'. It may have been measured while the
	// target was busy building, so it takes away half at the most.
	f.bytes[0], f.times[0] = bytes, max(took-f.roundTrip, took/2)
	f.seen /= 2
}

// bandwidth is in bytes a second; 0 if unknown.
func (f *forecast) bandwidth() float64 {
	var bytes uint64
	var took time.Duration
	for i := range f.bytes {
		if bytes >= bandwidthWindow {
			break
		}
		bytes += f.bytes[i]
		took += f.times[i]
	}
	if bytes == 0 || took == 0 {
		return 0
	}
	return float64(bytes) / took.Seconds()
}

// pagesTime is what sending some pages takes. Unknown bandwidth takes no time.
func (f *forecast) pagesTime(pages uint64) time.Duration {
	bw := f.bandwidth()
	if bw == 0 {
		return 0
	}
	bw = max(bw, f.line)
	return time.Duration(float64(pages*guestmem.PageSize) / bw * float64(time.Second))
}

// fixed is what a stop costs besides its pages: pausing and saving, restoring,
// and the round trips of the state and of the commit.
func (f *forecast) fixed() time.Duration {
	return max(f.save, f.seen) + f.rehearsal + 2*f.roundTrip
}

// downtime is the forecast if that many pages are left.
func (f *forecast) downtime(pages uint64) time.Duration { return f.fixed() + f.pagesTime(pages) }

// tiny says whether another round for these pages is not worth it.
func (f *forecast) tiny(pages uint64) bool {
	return pages <= tinyPages || f.bandwidth() > 0 && f.pagesTime(pages) <= tinyTime
}

// stop decides whether to stop the guest now, after that many rounds, with that
// many pages pending. Within the limit it still goes on while a round more than
// halves what is left: the forecast is a promise, less is better.
func (f *forecast) stop(rounds int, pages uint64) bool {
	before := f.last
	f.last = pages
	if pages == 0 {
		return true // waiting makes nothing better
	}
	if f.downtime(pages) > f.limit || f.bandwidth() == 0 && !f.tiny(pages) {
		f.extra = 0
		return false
	}
	if f.tiny(pages) {
		return true
	}
	shrinking := before == 0 || pages < before/2
	if rounds >= 2 && (!shrinking || f.extra >= extraRounds) {
		return true
	}
	f.extra++
	return false
}

// diverges says whether pushing on would take longer than to stop now and have
// the target pull what is pending: of each round as many pages are left as the
// guest writes while it is sent, and the sum of those rounds would be what is
// pending once more.
func (f *forecast) diverges(pages uint64) bool {
	return f.bytes[0] >= guestmem.PageSize && f.downtime(pages) > f.limit && f.left(pages) >= divergence
}

// left is the share of the latest round, which had some pages, that is to be sent again.
func (f *forecast) left(pages uint64) float64 {
	return float64(pages) / float64(f.bytes[0]/guestmem.PageSize)
}

// abandon decides, with the guest paused and saved for some time, whether too
// much is left after all: the guest wrote a lot since the decision.
func (f *forecast) abandon(paused time.Duration, pages uint64) bool {
	if f.tiny(pages) || paused+f.rehearsal+2*f.roundTrip+f.pagesTime(pages) <= f.limit {
		return false
	}
	f.seen = max(f.seen, paused) // the next decisions know better
	return true
}
