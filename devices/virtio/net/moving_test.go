package net

import (
	"bytes"
	"testing"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

// packetOf is a frame behind an empty header.
func packetOf(frame []byte) []byte { return append(make([]byte, headerSize), frame...) }

// arrive moves the guest to another device, which holds before it works. What is done
// before is before both, and held between them.
func (g *guest) arrive(before, held func()) {
	g.t.Helper()
	g.Driver.Move(func() virtio.Device {
		g.tap.again()
		s := g.dev.Save()
		g.dev = g.tap.device(Config{}, &s)
		before()
		return holding{g.dev, held}
	})
}

// holding is a device as a machine resumes it where a guest arrives.
type holding struct {
	*Device
	held func()
}

func (h holding) Resume() {
	h.Hold()
	h.held()
	h.Device.Resume()
}

// TestHold shows the order at a guest's arrival: what was forwarded, also before
// the guest runs, then what came to this host since, and nothing of what came before.
func TestHold(t *testing.T) {
	g := newGuest(t, 1, virtiotest.Options{})
	for range 20 {
		g.Queue(rxQueue).Add(nil, 1536)
	}
	g.arrive(func() { g.tap.send(0, frame(100, 99)) }, func() {
		g.tap.send(0, frame(100, 4))
		g.deliver(0, frame(100, 0))
		g.deliver(0, frame(100, 1))
	})
	g.deliver(0, frame(100, 2))
	g.deliver(7, frame(100, 3)) // of a queue that this device has not
	g.tap.send(0, frame(100, 5))
	for i := range 4 {
		if got := g.packet(rxQueue); !bytes.Equal(got, frame(100, i)) {
			t.Fatalf("got %x; want forwarded packet %d", got, i)
		}
	}
	g.packetless()
	g.dev.Release()
	g.dev.Release()
	for i := range 2 {
		if got := g.packet(rxQueue); !bytes.Equal(got, frame(100, 4+i)) {
			t.Fatalf("got %x; want packet %d, which came to this host", got, 4+i)
		}
	}
	g.deliver(0, frame(100, 6)) // late
	if got := g.packet(rxQueue); !bytes.Equal(got, frame(100, 6)) {
		t.Fatalf("got %x; want the packet that was forwarded late", got)
	}
}

// deliver is Deliver of a frame that must be taken.
func (g *guest) deliver(queue int, frame []byte) {
	g.t.Helper()
	if !g.dev.Deliver(queue, packetOf(frame)) {
		g.t.Fatalf("a packet for queue %d was not taken", queue)
	}
}

// TestDeliverIsBounded shows what is refused, and that a driver without buffers gets the rest once it has some.
func TestDeliverIsBounded(t *testing.T) {
	g := newGuest(t, 1, virtiotest.Options{})
	for _, n := range []int{0, headerSize, headerSize + ethernetSize - 1, maxPacket + 1} {
		if g.dev.Deliver(0, make([]byte, n)) {
			t.Errorf("a packet of %d bytes was taken", n)
		}
	}
	taken := 0
	for g.dev.Deliver(0, packetOf(frame(100, taken))) {
		if taken++; taken > maxKept+1 {
			break
		}
	}
	if taken != maxKept && taken != maxKept+1 { // the device holds one that it has no buffer for, or not yet
		t.Fatalf("%d packets were taken; want %d", taken, maxKept)
	}
	for i := range 100 {
		g.Queue(rxQueue).Send(nil, 1536)
		if got := g.packet(rxQueue); !bytes.Equal(got, frame(100, i)) {
			t.Fatalf("got %x; want packet %d", got, i)
		}
	}
	g.Stop()
	if g.dev.Deliver(0, packetOf(frame(100, 0))) {
		t.Error("a packet was taken for no driver")
	}
	g.Start()
	g.Queue(rxQueue).Send(nil, 1536)
	g.packetless()
}

// TestForwardedTwice moves a guest on that had no buffers for what was forwarded to it.
func TestForwardedTwice(t *testing.T) {
	g := newGuest(t, 2, virtiotest.Options{})
	g.Queue(4).Do([][]byte{{4, 0}, {2, 0}}, 1)
	for i := range 3 {
		g.deliver(0, frame(100, i))
		g.deliver(1, frame(100, 10+i))
	}
	g.Queue(4).Do([][]byte{{4, 0}, {1, 0}}, 1) // the first has all from here on
	g.Quiesce()
	c := g.capture()
	g.tap.send(0, frame(100, 20))
	held := len(g.dev.Save().Held[0]) > 0
	want := 7
	if held {
		want--
	}
	for _, f := range c.captured(want) {
		if !f.Forward || f.Queue != 0 {
			t.Errorf("got %+v; want it of queue 0, and to be forwarded", f)
		}
	}
	g.Resume()
	for range 10 {
		g.Queue(rxQueue).Send(nil, 1536)
	}
	for _, i := range []int{0, 1, 2, 10, 11, 12, 20} {
		if got := g.packet(rxQueue); !bytes.Equal(got, frame(100, i)) {
			t.Fatalf("got %x; want packet %d", got, i)
		}
	}
}
