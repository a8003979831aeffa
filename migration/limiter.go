package migration

import (
	"io"
	"os"
	"time"
)

const (
	// burstTime is how much of its rate a limiter lets through at once.
	burstTime = 10 * time.Millisecond
	// minBurst is what it lets through at once however slow it is, in bytes: two
	// segments of Ethernet.
	minBurst = 2 * 1448
)

// limiter writes no faster than its rate: a token bucket. One goroutine uses it.
type limiter struct {
	w     io.Writer
	rate  float64 // bytes a second
	burst float64 // what the bucket holds, in bytes
	level float64 // what is in it
	at    time.Time
	timer *time.Timer     // nil before the first wait
	done  <-chan struct{} // ends a wait, and the Write with it
}

// newLimiter limits w to bits a second.
func newLimiter(w io.Writer, bits uint64, done <-chan struct{}) *limiter {
	rate := float64(bits) / 8
	return &limiter{w: w, rate: rate, burst: max(rate*burstTime.Seconds(), minBurst), at: time.Now(), done: done}
}

// Write writes p in pieces as they may go. When done is closed it is as if the
// connection's deadline were over.
func (l *limiter) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		// Half a bucket at a time: what a timer is late is made up for with the other half.
		if err := l.await(min(float64(len(p)), l.burst/2)); err != nil {
			return written, err
		}
		n, err := l.w.Write(p[:min(len(p), int(l.level))])
		written += n
		l.level -= float64(n)
		if err != nil {
			return written, err
		}
		p = p[n:]
	}
	return written, nil
}

// await waits until the bucket holds so many bytes.
func (l *limiter) await(bytes float64) error {
	for {
		now := time.Now()
		l.level = min(l.level+l.rate*now.Sub(l.at).Seconds(), l.burst)
		l.at = now
		if l.level >= bytes {
			return nil
		}
		// A nanosecond more, for the division rounds down.
		wait := time.Duration((bytes-l.level)/l.rate*float64(time.Second)) + 1
		if l.timer == nil {
			l.timer = time.NewTimer(wait)
		} else {
			l.timer.Reset(wait)
		}
		select {
		case <-l.timer.C:
		case <-l.done:
			l.timer.Stop()
			return os.ErrDeadlineExceeded
		}
	}
}
