package net

import (
	"bytes"
	"testing"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

// TestInheritedTap shows that of a tap that goes from one process to the next
// nothing is changed, and nothing that it has queued is lost.
func TestInheritedTap(t *testing.T) {
	g := newGuest(t, 3, virtiotest.Options{})
	if got := g.Queue(6).Do([][]byte{{4, 0}, {3, 0}}, 1)[0]; got != ackOK {
		t.Fatalf("use 3 pairs: got %d; want %d", got, ackOK)
	}
	const some = 5
	before := g.tap.offloads
	g.Driver.Move(func() virtio.Device {
		old := g.dev
		s := old.Save()
		old.Leave()
		for i := range some {
			g.tap.send(0, frame(100, i))
		}
		g.dev = g.tap.device(Config{Inherited: true}, &s)
		old.Stop()
		for i, on := range g.tap.attached {
			if !on {
				t.Errorf("queue %d was detached", i)
			}
		}
		if g.tap.offloads != before {
			t.Errorf("got offloads %#x; want %#x, as before", g.tap.offloads, before)
		}
		return g.dev
	})
	for i := range some {
		g.Queue(rxQueue).Send(nil, 1536)
		if got := g.packet(rxQueue); !bytes.Equal(got, frame(100, i)) {
			t.Errorf("got %x; want packet %d, which the tap had queued", got, i)
		}
	}
	// The next driver is another matter.
	g.Stop()
	g.tap.send(0, frame(100, 9))
	g.Start()
	g.Queue(rxQueue).Send(nil, 1536)
	g.tap.send(0, frame(100, 1))
	if got := g.packet(rxQueue); !bytes.Equal(got, frame(100, 1)) {
		t.Errorf("got %x; want %x, the first behind the reset", got, frame(100, 1))
	}
}
