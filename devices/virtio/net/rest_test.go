package net

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

// TestRest shows what rest means: nothing is popped, and what is in the tap
// stays there until the device works again.
func TestRest(t *testing.T) {
	g := newGuest(t, 1, virtiotest.Options{})
	for range 100 {
		g.Queue(rxQueue).Add(nil, 1536)
	}
	g.Queue(rxQueue).Kick()
	g.tap.send(0, frame(100, 0))
	g.packet(rxQueue)
	g.Quiesce()
	if s := g.States()[rxQueue]; s.Next != 1 || s.Used != 1 {
		t.Errorf("receive queue at rest: got %+v; want Next and Used 1", s)
	}
	g.Queue(txQueue).Send([][]byte{make([]byte, headerSize), frame(60, 5)})
	for i := range 3 {
		g.tap.send(0, frame(100, 1+i))
	}
	g.packetless()
	if p := g.tap.poll(0, 0); p != nil {
		t.Errorf("a device at rest sent %d bytes", len(p))
	}
	g.Resume()
	for i := range 3 {
		if got := g.packet(rxQueue); !bytes.Equal(got, frame(100, 1+i)) {
			t.Errorf("packet %d after a rest: got %x", i, got)
		}
	}
	if got := g.tap.next(0)[headerSize:]; !bytes.Equal(got, frame(60, 5)) {
		t.Errorf("sent after a rest: got %x; want %x", got, frame(60, 5))
	}
}

// TestArrival shows that what the tap queued before the guest came is thrown
// away, and what comes later is not.
func TestArrival(t *testing.T) {
	for _, arrive := range []struct {
		name string
		do   func(g *guest)
	}{
		{"move", func(g *guest) {
			g.Driver.Move(func() virtio.Device {
				s := g.dev.Save()
				g.tap.again()
				g.dev = g.tap.device(Config{}, &s)
				for i := range 5 {
					g.tap.send(0, frame(100, 70+i))
				}
				return g.dev
			})
		}},
		{"driver starts", func(g *guest) {
			g.Stop()
			for i := range 5 {
				g.tap.send(0, frame(100, 70+i))
			}
			g.Start()
		}},
	} {
		t.Run(arrive.name, func(t *testing.T) {
			g := newGuest(t, 1, virtiotest.Options{})
			g.Queue(rxQueue).Send(nil, 1536)
			arrive.do(g)
			g.Queue(rxQueue).Send(nil, 1536)
			g.tap.send(0, frame(100, 1))
			if got := g.packet(rxQueue); !bytes.Equal(got, frame(100, 1)) {
				t.Errorf("got %x; want %x, the first that came after the guest", got, frame(100, 1))
			}
		})
	}
}

// TestMoves moves in the middle of traffic, both ways: all packets that were in
// the queues or in the tap arrive, once, in order.
func TestMoves(t *testing.T) {
	g := newGuest(t, 1, virtiotest.Options{})
	in, out := 0, 0
	for round := range 30 {
		for range 4 {
			g.Queue(rxQueue).Send(nil, 1536)
			g.Queue(txQueue).Send([][]byte{make([]byte, headerSize), frame(60, out)})
			out++
		}
		for range 4 {
			g.tap.send(0, frame(100, in))
			if got := g.packet(rxQueue); !bytes.Equal(got, frame(100, in)) {
				t.Fatalf("round %d: got %x; want packet %d", round, got, in)
			}
			in++
		}
		g.move()
		for i := out - 4; i < out; i++ {
			if got := g.tap.next(0)[headerSize:]; !bytes.Equal(got, frame(60, i)) {
				t.Fatalf("round %d: the guest sent %x; want packet %d", round, got, i)
			}
		}
	}
}

func TestState(t *testing.T) {
	g := newGuest(t, 2, virtiotest.Options{})
	g.Queue(rxQueue).Send(nil, 1000)
	big := frame(3000, 1)
	g.tap.send(0, big)
	settle(t, func() bool { return g.tap.empty(0) })
	g.Queue(4).Do([][]byte{{4, 0}, {2, 0}}, 1)
	g.Queue(4).Do([][]byte{{5, 0}, le64(featureGuestCsum)}, 1)
	g.Queue(4).Do([][]byte{{1, 1}, {2, 0, 0, 0, 0, 7}}, 1)
	g.Quiesce()
	want := State{
		MAC: [6]byte{2, 0, 0, 0, 0, 7}, LinkUp: true, Pairs: 2, OffloadsSet: true, Offloads: featureGuestCsum,
		Held: [][]byte{append(make([]byte, headerSize), big...), nil},
	}
	b, err := cbor.Marshal(g.dev.Save())
	if err != nil {
		t.Fatal(err)
	}
	var got State
	if err := cbor.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("saved (-want +got):\n%s", diff)
	}
}

func TestBadState(t *testing.T) {
	for _, s := range []State{
		{Pairs: 0},
		{Pairs: -1},
		{Pairs: 3},
		{Pairs: 1, Offloads: 1 << 40},
		{Pairs: 1, Held: make([][]byte, 3)},
		{Pairs: 1, Held: [][]byte{make([]byte, headerSize-1)}},
		{Pairs: 1, Held: [][]byte{make([]byte, maxPacket+1)}},
	} {
		f := newFakeTap(t, 2)
		sockets, err := newSockets(f.files)
		if err != nil {
			t.Fatal(err)
		}
		defer closeSockets(sockets)
		if _, err := newDevice(Config{}, &s, sockets, f); err == nil {
			t.Errorf("%+v: got no error; want one", s)
		}
	}
}

// TestNoAllocation counts those of packets both ways.
func TestNoAllocation(t *testing.T) {
	g := newGuest(t, 1, virtiotest.Options{Unchecked: true})
	packet := append(make([]byte, headerSize), frame(1500, 1)...)
	rx := g.dev.pairs[0].rx
	refill := func() {
		for g.Queue(rxQueue).Poll() != nil {
		}
		for g.Queue(rxQueue).Free() > 0 {
			g.Queue(rxQueue).Add(nil, 1600)
		}
		g.Queue(rxQueue).Kick()
	}
	receive := func() {
		before := rx.packets.Load()
		if _, err := unix.Write(g.tap.far[0], packet); err != nil {
			t.Fatal(err)
		}
		for rx.packets.Load() == before {
			runtime.Gosched()
		}
	}
	for range queueSize + queueSize/2 { // so that each chain that the window can hold has its list of buffers
		refill()
		receive()
	}
	refill()
	if n := testing.AllocsPerRun(20, receive); n != 0 {
		t.Errorf("receive: got %v allocations a packet; want 0", n)
	}
	c := &virtio.Chain{Readable: []virtio.Buffer{{Bytes: packet[:headerSize]}, {Bytes: packet[headerSize:]}}}
	got := make([]byte, len(packet)+1)
	send := func() {
		if _, err := g.dev.pairs[0].tx.send(c); err != nil {
			t.Fatal(err)
		}
		if n, err := unix.Read(g.tap.far[0], got); n != len(packet) || err != nil {
			t.Fatalf("got %d bytes, %v; want %d", n, err, len(packet))
		}
	}
	if n := testing.AllocsPerRun(100, send); n != 0 {
		t.Errorf("transmit: got %v allocations a packet; want 0", n)
	}
}
