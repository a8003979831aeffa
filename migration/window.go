package migration

import (
	"sync"
	"time"
)

const (
	// queueTime is what pulled pages may wait in the network before a page that
	// the guest needs, beyond the round trip.
	queueTime = 500 * time.Microsecond
	// hurryTime is the same while the guest waits for pages, and for a moment after.
	hurryTime  = 100 * time.Microsecond
	hurryAfter = 10 * time.Millisecond
	// Every probeEvery, for probeFor, pages may wait for probeTime, hurry or not: else nobody would learn that the link takes more.
	probeEvery = 150 * time.Millisecond
	probeFor   = 2 * rateEvery
	probeTime  = time.Millisecond
	// threadTime is what threads add to a round trip of the kernel's.
	threadTime = 150 * time.Microsecond
	// minWindow and maxWindow bound the bytes under way.
	minWindow = 32 << 10
	maxWindow = 8 << 20
	// growth is how much more than the rate seen is tried: a window that was too small made it look so.
	growth = 1.5
	// rateEvery is over what time a rate is measured, and rateKept how many of them count.
	rateEvery = 10 * time.Millisecond
	rateKept  = 16
)

// window bounds the bytes of pulled pages that are on their way: enough to fill
// the link, and not so many that they queue up before what is urgent. The link's
// rate is the highest seen lately, since a small window makes it look slower.
type window struct {
	mu     sync.Mutex // guards all below
	room   sync.Cond
	flying int
	size   int
	ended  bool
	// The target says what it has taken when it is asked to: marks are how often it
	// still will, and quiet is how much left since it was asked last.
	marks, quiet int
	hurried      time.Time // when the guest waited last

	rates   [rateKept]float64 // bytes a second
	next    int
	since   time.Time
	arrived int       // since then
	probed  time.Time // when the last probe began
}

func newWindow(rate float64, roundTrip time.Duration) *window {
	w := &window{since: time.Now()}
	w.room.L = &w.mu
	w.rates[0] = rate
	w.next = 1
	w.fit(roundTrip)
	return w
}

// fit sets the size. The caller holds mu.
func (w *window) fit(roundTrip time.Duration) {
	best := 0.0
	for _, r := range w.rates {
		best = max(best, r)
	}
	queue, now := queueTime, time.Now()
	if now.Sub(w.hurried) < hurryAfter {
		queue = hurryTime
	}
	if now.Sub(w.probed) >= probeEvery {
		w.probed = now
	}
	if now.Sub(w.probed) < probeFor {
		queue = probeTime
	}
	w.size = min(max(int(growth*best*(roundTrip+queue).Seconds()), minWindow), maxWindow)
}

// piece is how much is best sent at a time, in bytes of whole pages.
func (w *window) piece() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return uint64(min(max(w.size/4, 4<<10), maxPullData)) &^ pageMask
}

// take waits until n more bytes may leave, the last ones perhaps. Flags are those of their
// frame. It is false if the window has ended.
func (w *window) take(n int, last bool) (flags uint8, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.ended && w.marks > 0 && w.flying+n > w.size {
		w.room.Wait()
	}
	w.flying += n
	if w.quiet += n; last || w.quiet >= w.size/2 || w.flying+n > w.size {
		w.quiet = 0
		w.marks++
		flags = flagLast
	}
	return flags, !w.ended
}

// hurry notes that the guest waits for a page: less may be ahead of the next.
func (w *window) hurry() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hurried = time.Now()
}

// arrive notes that n bytes are in place.
func (w *window) arrive(n int, roundTrip time.Duration) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flying, w.marks = max(w.flying-n, 0), max(w.marks-1, 0)
	w.arrived += n
	if took := now.Sub(w.since); took >= rateEvery {
		w.rates[w.next] = float64(w.arrived) / took.Seconds()
		w.next = (w.next + 1) % rateKept
		w.arrived, w.since = 0, now
	}
	w.fit(roundTrip)
	w.room.Signal()
}

// end lets nobody wait any more.
func (w *window) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	w.room.Broadcast()
}
