package migration

import (
	"io"
	"os"
	"sync"
	"time"
)

const (
	// burstTime is how much of its rate a limiter lets through at once.
	burstTime = 10 * time.Millisecond
	// minBurst is what it lets through at once however slow it is, in bytes: two
	// segments of Ethernet.
	minBurst = 2 * 1448
)

// limiter writes no faster than its bucket lets it.
type limiter struct {
	w io.Writer
	*bucket
}

// bucket is a token bucket, of one writer or of several together.
type bucket struct {
	rate  float64         // bytes a second
	burst float64         // what it holds, in bytes
	done  <-chan struct{} // ends a wait, and the Write with it

	mu    sync.Mutex // guards what follows, and is held while somebody waits
	level float64    // what is in it, in bytes
	at    time.Time
	timer *time.Timer // nil before the first wait
}

// newLimiter limits w to bits a second.
func newLimiter(w io.Writer, bits uint64, done <-chan struct{}) *limiter {
	rate := float64(bits) / 8
	return &limiter{w: w, bucket: &bucket{rate: rate, burst: max(rate*burstTime.Seconds(), minBurst), at: time.Now(), done: done}}
}

// beside limits w, together with what l writes.
func (l *limiter) beside(w io.Writer) *limiter { return &limiter{w: w, bucket: l.bucket} }

// Write writes p in pieces as they may go. When done is closed it is as if the
// connection's deadline were over.
func (l *limiter) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		// Half a bucket at a time: what a timer is late is made up for with the other half.
		may, err := l.take(min(float64(len(p)), l.burst/2), len(p))
		if err != nil {
			return written, err
		}
		n, err := l.w.Write(p[:may])
		written += n
		if err != nil {
			return written, err
		}
		p = p[n:]
	}
	return written, nil
}

// take waits until the bucket holds so many bytes, and takes what it holds, most at the most.
func (b *bucket) take(bytes float64, most int) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		now := time.Now()
		b.level = min(b.level+b.rate*now.Sub(b.at).Seconds(), b.burst)
		b.at = now
		if b.level >= bytes {
			n := min(most, int(b.level))
			b.level -= float64(n)
			return n, nil
		}
		// A nanosecond more, for the division rounds down.
		wait := time.Duration((bytes-b.level)/b.rate*float64(time.Second)) + 1
		if b.timer == nil {
			b.timer = time.NewTimer(wait)
		} else {
			b.timer.Reset(wait)
		}
		select {
		case <-b.timer.C:
		case <-b.done:
			b.timer.Stop()
			return 0, os.ErrDeadlineExceeded
		}
	}
}
