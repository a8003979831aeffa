package e2e

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
)

// count sends a guest numbered packets, several at a time, and wants each answered
// once. It has fewer on their way than a tap queues, so none may be lost.
type count struct {
	conn     *net.UDPConn
	quit     chan struct{}
	group    sync.WaitGroup
	window   chan struct{} // a token for each packet on its way
	answered atomic.Uint64
	sent     uint64

	mu      sync.Mutex // guards doubled
	doubled []uint64
}

// startCount begins, from a host that has the guest on its bridge.
func startCount(t *testing.T, from *lab.Host) *count {
	t.Helper()
	c := &count{quit: make(chan struct{}), window: make(chan struct{}, 100)}
	err := from.Do(func() (err error) {
		c.conn, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(guestIP, 7)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.conn.Close(); c.group.Wait() })
	// The first finds the guest's address out, which takes packets that may be lost.
	for answered := false; !answered; {
		_, _ = c.conn.Write(make([]byte, 8))
		_ = c.conn.SetReadDeadline(time.Now().Add(time.Second))
		_, err := c.conn.Read(make([]byte, 64))
		answered = err == nil
	}
	_ = c.conn.SetReadDeadline(time.Time{})
	c.group.Add(2)
	go c.send()
	go c.receive()
	return c
}

func (c *count) send() {
	defer c.group.Done()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	packet := make([]byte, 8)
	for n := uint64(1); ; n++ {
		select {
		case <-c.quit:
			return
		case <-tick.C:
		}
		select {
		case <-c.quit:
			return
		case c.window <- struct{}{}:
		}
		binary.LittleEndian.PutUint64(packet, n)
		if _, err := c.conn.Write(packet); err != nil {
			return
		}
		c.sent = n
	}
}

func (c *count) receive() {
	defer c.group.Done()
	seen := make(map[uint64]bool)
	for packet := make([]byte, 64); ; {
		k, err := c.conn.Read(packet)
		if err != nil {
			return
		}
		n := binary.LittleEndian.Uint64(packet[:8])
		if k != 8 || n == 0 { // of the beginning
			continue
		}
		if seen[n] {
			c.mu.Lock()
			c.doubled = append(c.doubled, n)
			c.mu.Unlock()
			continue
		}
		seen[n] = true
		c.answered.Add(1)
		<-c.window
	}
}

// goesOn waits for more answers than can be on their way.
func (c *count) goesOn(t *testing.T, ctx context.Context) {
	t.Helper()
	enough := c.answered.Load() + 2*uint64(cap(c.window))
	until(t, ctx, "the guest answers", func() bool { return c.answered.Load() >= enough })
}

// stop wants every packet answered once.
func (c *count) stop(t *testing.T) {
	t.Helper()
	close(c.quit)
	until(t, within(t, 30*time.Second), "every packet is answered", func() bool { return len(c.window) == 0 })
	c.conn.Close()
	c.group.Wait()
	if got := c.answered.Load(); got != c.sent || len(c.doubled) > 0 {
		t.Errorf("got %d of %d packets answered, doubled %d; want each once", got, c.sent, c.doubled)
	}
}
