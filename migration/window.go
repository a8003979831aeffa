package migration

import (
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// queueTime is what pulled pages may wait in the network before a page that
	// the guest needs, beyond the round trip.
	queueTime = 500 * time.Microsecond
	// hurryTime is the same while the guest waits for pages, and for a moment after.
	hurryTime  = 250 * time.Microsecond
	hurryAfter = 10 * time.Millisecond
	// Every probeEvery, for probeFor, pages may wait for probeTime, hurry or not: else nobody would learn that the link takes more.
	probeEvery = 150 * time.Millisecond
	probeFor   = 2 * rateEvery
	probeTime  = time.Millisecond
	// minWindow and maxWindow bound the bytes under way.
	minWindow = 64 << 10
	maxWindow = 8 << 20
	// minPiece is the least to send at a time, in bytes: less costs more CPU than it saves the guest.
	minPiece = 16 << 10
	// growth is how much more than the rate seen is tried: a window that was too small made it look so.
	growth = 1.5
	// rateEvery is over what time a rate is measured, and rateKept how many of them count.
	rateEvery = 10 * time.Millisecond
	rateKept  = 16
)

// window bounds the bytes of pulled pages that are on their way: enough to fill
// the link, and not so many that they queue up before what is urgent. It is the room that the
// kernel has for what the target's host has not confirmed (SO_SNDBUF): so the writer sleeps until there is some, and a
// target whose threads are late makes no link look slow. The link's rate is the highest seen lately, since a small window makes
// it look slower. One goroutine uses it, but for hurry.
type window struct {
	conn net.Conn
	size int // bytes
	room int // for which the kernel was told

	rates  [rateKept]float64 // bytes a second
	next   int
	since  time.Time
	acked  uint64    // by then
	probed time.Time // when the last probe began

	hurried atomic.Int64 // when the guest waited last, in ns since start
	start   time.Time
}

// newWindow bounds what is written to conn. rate is in bytes a second, 0 if it is unknown.
func newWindow(conn net.Conn, rate float64) *window {
	now := time.Now()
	w := &window{conn: conn, start: now, next: 1}
	w.hurried.Store(-int64(hurryAfter))
	w.rates[0] = rate
	w.measure(now, time.Millisecond)
	return w
}

// hurry notes that the guest waits for a page: less may be ahead of the next.
func (w *window) hurry() { w.hurried.Store(int64(time.Since(w.start))) }

// piece is how much is best sent at a time, in bytes of whole pages.
func (w *window) piece() uint64 {
	return uint64(min(max(w.size/4, minPiece), maxPullData)) &^ pageMask
}

// adjust measures the link if that is due. roundTrip is asked where the kernel does not know it.
func (w *window) adjust(roundTrip func() time.Duration) {
	now := time.Now()
	if now.Sub(w.since) < rateEvery {
		return
	}
	best := minRoundTrip(w.conn)
	if best == 0 {
		best = roundTrip()
	}
	w.measure(now, best)
}

// measure takes a rate, and sets the size by it.
func (w *window) measure(now time.Time, roundTrip time.Duration) {
	if info := tcpInfo(w.conn); info != nil {
		if took := now.Sub(w.since); !w.since.IsZero() && info.Bytes_acked >= w.acked {
			w.rates[w.next] = float64(info.Bytes_acked-w.acked) / took.Seconds()
			w.next = (w.next + 1) % rateKept
		}
		w.acked = info.Bytes_acked
	}
	w.since = now
	w.size = w.fit(now, roundTrip)
	if d := w.size - w.room; d > w.room/8 || -d > w.room/8 {
		w.room = w.size
		// The kernel takes twice the number, and needs some of that for itself: socket(7).
		socket(w.conn, func(fd int) { _ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, w.room/2+w.room/8) })
	}
}

// fit is what the rates say, in bytes.
func (w *window) fit(now time.Time, roundTrip time.Duration) int {
	best := 0.0
	for _, r := range w.rates {
		best = max(best, r)
	}
	queue := queueTime
	if now.Sub(w.start)-time.Duration(w.hurried.Load()) < hurryAfter {
		queue = hurryTime
	}
	if now.Sub(w.probed) >= probeEvery {
		w.probed = now
	}
	if now.Sub(w.probed) < probeFor {
		queue = probeTime
	}
	return min(max(int(growth*best*(roundTrip+queue).Seconds()), minWindow), maxWindow)
}
