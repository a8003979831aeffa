package net

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

// from is a frame with these addresses, told apart by a number.
func from(source, destination [6]byte, number int) []byte {
	f := frame(100, number)
	copy(f, destination[:])
	copy(f[6:], source[:])
	return f
}

var (
	other     = [6]byte{2, 0, 0, 0, 0, 1}
	broadcast = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	multicast = [6]byte{0x33, 0x33, 0, 0, 0, 1}
)

// catch is a capture whose test can wait for more.
type catch struct {
	*Capture
	more chan struct{}
}

// capture begins one.
func (g *guest) capture() catch {
	more := make(chan struct{}, 1)
	return catch{g.dev.Capture(more), more}
}

// captured waits until there are n frames.
func (c catch) captured(n int) []Frame {
	for {
		if got := c.Since(0); len(got.Frames) >= n {
			return got.Frames
		}
		<-c.more
	}
}

// barrier waits until there is one.
func (c catch) barrier() Captured {
	for {
		if got := c.Since(0); got.Barrier {
			return got
		}
		<-c.more
	}
}

// TestCaptureThenResume shows that a move that fails loses nothing: what came while
// the guest stood still reaches it, before what came later, in order.
func TestCaptureThenResume(t *testing.T) {
	g := newGuest(t, 1, virtiotest.Options{})
	for range 200 {
		g.Queue(rxQueue).Add(nil, 1536)
	}
	g.Queue(rxQueue).Kick()
	for round := range 10 {
		g.Quiesce()
		c := g.capture()
		for i := range 10 {
			g.tap.send(0, frame(100, 20*round+i))
		}
		c.Commit()
		c.captured(10)
		g.Resume()
		for i := range 5 {
			g.tap.send(0, frame(100, 20*round+10+i))
		}
		for i := range 15 {
			if got := g.packet(rxQueue); !bytes.Equal(got, frame(100, 20*round+i)) {
				t.Fatalf("round %d: got %x; want packet %d", round, got, i)
			}
		}
	}
	if s := g.dev.Stats(); s.RxPackets != 150 || s.RxDrops != 0 {
		t.Errorf("got %+v; want 150 packets and no drops", s)
	}
}

// TestWhatIsForwarded follows which frames another host does not get by itself.
func TestWhatIsForwarded(t *testing.T) {
	g := newGuest(t, 1, virtiotest.Options{})
	g.Quiesce()
	c := g.capture()
	want := []bool{true, true, true, false, true, true, false, false, false}
	sent := [][]byte{
		from(other, guestMAC, 0), from(other, broadcast, 1), from(other, multicast, 2), from(other, other, 3), from(guestMAC, broadcast, 4),
		from(other, guestMAC, 5), from(other, broadcast, 6), from(other, multicast, 7), from(other, other, 8),
	}
	for i, f := range sent {
		if i == 5 {
			c.captured(i)
			c.Commit()
		}
		g.tap.send(0, f)
	}
	var forward []bool
	for i, f := range c.captured(len(sent)) {
		forward = append(forward, f.Forward)
		if !bytes.Equal(f.Packet[headerSize:], sent[i]) {
			t.Errorf("frame %d: got %x; want %x", i, f.Packet[headerSize:], sent[i])
		}
	}
	if diff := cmp.Diff(want, forward); diff != "" {
		t.Errorf("forward (-want +got):\n%s", diff)
	}
}

// TestBarrier shows that all is kept that other queues got before the announcement of the host
// that runs the guest, and behind it what is for the guest alone.
func TestBarrier(t *testing.T) {
	g := newGuest(t, 3, virtiotest.Options{})
	g.Queue(6).Do([][]byte{{4, 0}, {3, 0}}, 1)
	g.Quiesce()
	c := g.capture()
	g.tap.send(1, from(guestMAC, broadcast, 0)) // its own, which the network sends back
	c.captured(1)
	c.Commit()
	for i := range 3 {
		for q := range 3 {
			g.tap.send(q, from(other, guestMAC, i))
		}
	}
	for q := range 3 { // one that is announced with several frames
		g.tap.send(q, from(guestMAC, broadcast, 9))
	}
	got := c.barrier()
	count := make([]int, 3)
	for _, f := range got.Frames[1:] {
		if want := from(other, guestMAC, count[f.Queue]); !bytes.Equal(f.Packet[headerSize:], want) {
			t.Errorf("queue %d: got %x; want %x", f.Queue, f.Packet[headerSize:], want)
		}
		count[f.Queue]++
	}
	if diff := cmp.Diff([]int{3, 3, 3}, count); diff != "" {
		t.Errorf("before the barrier (-want +got):\n%s", diff)
	}
	g.tap.send(0, from(other, broadcast, 10)) // the other host gets it, too
	g.tap.send(0, from(other, guestMAC, 11))  // overtaken by the announcement
	settle(t, func() bool { return len(c.Since(0).Frames) == 11 })
	if f := c.Since(10).Frames[0]; !f.Forward || !bytes.Equal(f.Packet[headerSize:], from(other, guestMAC, 11)) {
		t.Errorf("behind the barrier: got %+v; want what is for the guest alone", f)
	}
}

// TestCaptureIsBounded sends more than is kept: the rest is counted, and the tap is read on.
func TestCaptureIsBounded(t *testing.T) {
	for _, tt := range []struct{ size, kept int }{
		{60, maxKept},
		{60000, maxKeptBytes / (60000 + headerSize)},
	} {
		g := newGuest(t, 1, virtiotest.Options{})
		g.Quiesce()
		c := g.capture()
		f := frame(tt.size, 0)
		pour := func(n int) {
			for range n {
				settle(t, func() bool { return !g.tap.full(0, f) })
			}
		}
		pour(tt.kept + 10)
		settle(t, func() bool { return c.Since(0).Dropped == 10 })
		if n := len(c.Since(0).Frames); n != tt.kept {
			t.Errorf("frames of %d bytes: %d were kept; want %d", tt.size, n, tt.kept)
		}
		c.End()
		c.End()
		if n := len(c.Since(0).Frames); n != 0 {
			t.Errorf("ended: %d frames are kept; want none", n)
		}
	}
}

// TestCaptureWithoutDriver looks only for the barrier: nobody wants the frames.
func TestCaptureWithoutDriver(t *testing.T) {
	g := newGuest(t, 1, virtiotest.Options{})
	g.Stop()
	g.Quiesce()
	c := g.capture()
	c.Commit()
	g.tap.send(0, frame(100, 0))
	g.tap.send(0, from(guestMAC, broadcast, 0))
	if got := c.barrier(); len(got.Frames) != 0 {
		t.Errorf("got %d frames; want none", len(got.Frames))
	}
}

// TestDiscard shows that a tap does not fill where a guest is to come.
func TestDiscard(t *testing.T) {
	tap := newFakeTap(t, 1)
	dev := tap.device(Config{}, nil)
	dev.Discard()
	for range 100 { // more than it holds
		settle(t, func() bool { return !tap.full(0, frame(100, 0)) })
	}
	settle(t, func() bool { return tap.empty(0) })
	if err := dev.Close(); err != nil {
		t.Error(err)
	}
}

// TestCaptureOfATapThatGoes shows that it ends without a storm.
func TestCaptureOfATapThatGoes(t *testing.T) {
	g := newGuest(t, 1, virtiotest.Options{})
	g.Quiesce()
	c := g.capture()
	g.tap.send(0, frame(100, 0))
	c.captured(1)
	if err := unix.Shutdown(g.tap.far[0], unix.SHUT_RDWR); err != nil {
		t.Fatal(err)
	}
	g.dev.Recover()
	g.Queue(rxQueue).Send(nil, 1536)
	g.Resume()
	if got := g.packet(rxQueue); !bytes.Equal(got, frame(100, 0)) {
		t.Errorf("got %x; want the packet that came before", got)
	}
}
