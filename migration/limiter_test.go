package migration

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ferryvmm/ferry/internal/tcptest"
)

// paced notes when bytes came.
type paced struct {
	begin time.Time
	bytes int
	most  float64 // bytes beyond what the rate allowed by then
	rate  float64
	late  time.Duration // what each write takes
}

func (p *paced) Write(b []byte) (int, error) {
	p.bytes += len(b)
	p.most = max(p.most, float64(p.bytes)-p.rate*time.Since(p.begin).Seconds())
	time.Sleep(p.late)
	return len(b), nil
}

func TestLimiterKeepsItsRate(t *testing.T) {
	for _, bits := range []uint64{64_000, 10_000_000, 1_000_000_000, 40_000_000_000} {
		for _, late := range []time.Duration{0, 4 * time.Millisecond} {
			if bits > 1e9 && late > 0 {
				continue // no writer of these would come to its rate
			}
			synctest.Test(t, func(t *testing.T) {
				rate := float64(bits) / 8
				p := &paced{begin: time.Now(), rate: rate, late: late}
				l := newLimiter(p, bits, nil)
				size := int(2 * rate) // what takes two seconds
				buf := make([]byte, min(size, 1<<20))
				for left := size; left > 0; {
					n, err := l.Write(buf[:min(left, len(buf))])
					if err != nil {
						t.Fatal(err)
					}
					left -= n
				}
				got := float64(p.bytes) / time.Since(p.begin).Seconds()
				if math.Abs(got/rate-1) > 0.05 {
					t.Errorf("%d bit/s, writes of %v: got %.0f B/s; want %.0f within 5 %%", bits, late, got, rate)
				}
				if burst := max(rate*burstTime.Seconds(), minBurst); p.most > burst+1 {
					t.Errorf("%d bit/s: got a burst of %.0f bytes; want %.0f at most", bits, p.most, burst)
				}
			})
		}
	}
}

func TestLimiterIsInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		var b bytes.Buffer
		l := newLimiter(&b, 64_000, done)
		time.AfterFunc(time.Second, func() { close(done) })
		n, err := l.Write(make([]byte, 1<<20))
		if !errors.Is(err, os.ErrDeadlineExceeded) || n != b.Len() || n < 7000 || n > 8000+minBurst {
			t.Errorf("got %d of %d bytes, %v after a second; want about 8000 and a deadline", n, b.Len(), err)
		}
	})
}

type failing struct{}

func (failing) Write(p []byte) (int, error) { return len(p) / 2, io.ErrClosedPipe }

func TestLimiterPassesErrorsOn(t *testing.T) {
	n, err := newLimiter(failing{}, 80_000_000, nil).Write(make([]byte, 100))
	if n != 50 || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %d, %v; want 50 and the connection's error", n, err)
	}
}

func TestLineRate(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if got := lineRate(a); got != 0 {
		t.Errorf("got %v of a pipe; want it unknown", got)
	}
	out, in := tcptest.Pair(t)
	go out.Write(make([]byte, 1<<20)) //nolint:errcheck // the reader fails for want of it
	if _, err := io.ReadFull(in, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if got := lineRate(out); got < 1<<20 {
		t.Errorf("got %v B/s of a loopback connection that carried a MiB; want more", got)
	}
	out.Close()
	if got := lineRate(out); got != 0 {
		t.Errorf("got %v of a closed connection; want it unknown", got)
	}
}
