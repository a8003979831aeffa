package migration

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/tcptest"
)

func TestWindowFits(t *testing.T) {
	const trip = 100 * time.Microsecond
	start := time.Now()
	for _, c := range []struct {
		name         string
		rate         float64 // bytes a second
		hurried, now time.Duration
		want         int
	}{
		{"nothing known", 0, -hurryAfter, time.Second, minWindow},
		{"a slow link", 1e6, -hurryAfter, time.Second, minWindow},
		{"10 Gbit/s", 1.25e9, -hurryAfter, time.Second, int(1.25e9 * growth * (trip + queueTime).Seconds())},
		{"the guest waits", 1.25e9, time.Second, time.Second + hurryAfter/2, int(1.25e9 * growth * (trip + hurryTime).Seconds())},
		{"it waited", 1.25e9, time.Second, time.Second + hurryAfter, int(1.25e9 * growth * (trip + queueTime).Seconds())},
		{"more than is sensible", 1e12, -hurryAfter, time.Second, maxWindow},
	} {
		w := &window{start: start, probed: start.Add(c.now - probeFor)}
		w.rates[3] = c.rate
		w.hurried.Store(int64(c.hurried))
		if got := w.fit(start.Add(c.now), trip); got != c.want {
			t.Errorf("%s: got %d bytes; want %d", c.name, got, c.want)
		}
	}
}

// Every now and then more is tried, though the guest waits.
func TestWindowProbes(t *testing.T) {
	start := time.Now()
	w := &window{start: start}
	w.rates[0] = 1.25e9
	w.hurried.Store(int64(time.Second))
	sizes := map[int]bool{}
	for at := time.Second; at < time.Second+hurryAfter; at += time.Millisecond {
		w.probed = start.Add(at - probeEvery)
		sizes[w.fit(start.Add(at), 0)] = true
		w.probed = start.Add(at - probeFor)
		sizes[w.fit(start.Add(at), 0)] = true
	}
	rate := 1.25e9
	if probing, hurrying := int(growth*rate*probeTime.Seconds()), int(growth*rate*hurryTime.Seconds()); len(sizes) != 2 || !sizes[probing] || !sizes[hurrying] {
		t.Errorf("got sizes %v; want %d and %d", sizes, probing, hurrying)
	}
}

// The kernel holds as much as the window has room for, and not much more, of what nobody reads.
func TestWindowBounds(t *testing.T) {
	conn, peer := tcptest.Pair(t)
	if err := peer.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	if w := newWindow(conn, 1e9); w.size <= minWindow || w.room != w.size {
		t.Errorf("got a window of %d bytes, room for %d; want what 1e9 bytes a second need", w.size, w.room)
	}
	newWindow(conn, 0)
	p := make([]byte, minPiece)
	for full := false; !full; {
		socket(conn, func(fd int) {
			_, err := unix.Write(fd, p)
			full = err != nil
		})
	}
	socket(conn, func(fd int) {
		if n, err := unix.IoctlGetInt(fd, unix.TIOCOUTQ); err != nil || n < minWindow/2 || n > 2*minWindow {
			t.Errorf("got %d bytes under way, %v; want about %d", n, err, minWindow)
		}
	})
}
