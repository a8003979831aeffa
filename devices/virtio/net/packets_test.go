package net

import (
	"bytes"
	"errors"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

const (
	rxQueue = 0
	txQueue = 1
)

// noOffloads is a driver of the simplest kind.
const noOffloads = guestOffloads | featureMergeable | featureGuestOffloads

func TestTransmit(t *testing.T) {
	for _, o := range []virtiotest.Options{{}, {Indirect: true}, {Refuse: virtio.FeatureEventIdx | virtio.FeatureIndirect}} {
		g := newGuest(t, 1, o)
		header := make([]byte, headerSize)
		header[0] = 1 // checksum wanted
		for i, n := range []int{ethernetSize, 60, 1514, maxPacket - headerSize} {
			f := frame(n, i)
			whole := append(bytes.Clone(header), f...)
			for _, out := range [][][]byte{{whole}, {header, f}, {header[:5], whole[5:13], f[1:]}} {
				g.Queue(txQueue).Do(out)
				if diff := differ(whole, g.tap.next(0)); diff != "" {
					t.Fatalf("%+v: a frame of %d bytes in %d buffers: %s", o, n, len(out), diff)
				}
			}
		}
		if s := g.dev.Stats(); s.TxPackets != 12 || s.TxDrops != 0 || s.TxBytes != 3*(ethernetSize+60+1514+maxPacket-headerSize) {
			t.Errorf("got %+v; want 12 packets", s)
		}
	}
}

// TestTransmitDrops shows that what cannot be a packet harms nothing.
func TestTransmitDrops(t *testing.T) {
	g := newGuest(t, 1, virtiotest.Options{})
	for _, n := range []int{1, headerSize, headerSize + ethernetSize - 1, maxPacket + 1} {
		g.Queue(txQueue).Do([][]byte{make([]byte, n)})
	}
	g.Queue(txQueue).Do([][]byte{make([]byte, headerSize), frame(60, 1)})
	if got := g.tap.next(0)[headerSize:]; !bytes.Equal(got, frame(60, 1)) {
		t.Errorf("got %x; want the one packet that was well formed", got)
	}
	if s := g.dev.Stats(); s.TxPackets != 1 || s.TxDrops != 4 {
		t.Errorf("got %+v; want 1 packet, 4 drops", s)
	}
}

// TestTransmitToFullTap shows that a tap that takes nothing does not stop the
// queue.
func TestTransmitToFullTap(t *testing.T) {
	g := newGuest(t, 1, virtiotest.Options{})
	const sent = 2000 // more than a socket holds
	for range sent {
		g.Queue(txQueue).Do([][]byte{make([]byte, headerSize), frame(60, 1)})
	}
	if s := g.dev.Stats(); s.TxDrops == 0 || s.TxPackets+s.TxDrops != sent {
		t.Errorf("got %+v; want %d packets and drops, some of each", s, sent)
	}
}

func TestReceive(t *testing.T) {
	sizes := []int{ethernetSize, 60, 700, 1514}
	for _, tt := range []struct {
		name  string
		o     virtiotest.Options
		in    []int // buffers of each chain
		sizes []int
		free  int // descriptors that stay so
	}{
		{"mergeable", virtiotest.Options{}, []int{1536}, append(sizes, 9000, maxPacket-headerSize), 0},
		{"mergeable, small", virtiotest.Options{}, []int{13, 500}, append(sizes, 9000), 0},
		{"mergeable, tiny", virtiotest.Options{Indirect: true}, []int{headerSize}, sizes, 0},
		{"mergeable, broken header", virtiotest.Options{Indirect: true}, []int{7, 4, 1, 2048}, append(sizes, 9000), 0},
		{"mergeable, no events", virtiotest.Options{Refuse: virtio.FeatureEventIdx}, []int{2048}, append(sizes, 9000), 0},
		{"big", virtiotest.Options{Refuse: featureMergeable}, []int{headerSize, maxPacket}, append(sizes, maxPacket-headerSize), 240},
		{"small", virtiotest.Options{Refuse: noOffloads}, []int{headerSize, 1514}, sizes, 0},
		{"smaller than they should be", virtiotest.Options{Refuse: featureMergeable}, []int{1526}, sizes, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuest(t, 1, tt.o)
			q := g.Queue(rxQueue)
			fill := func() {
				need := len(tt.in)
				if tt.o.Indirect {
					need = 1
				}
				for q.Free() >= max(need, tt.free) {
					q.Add(nil, tt.in...)
				}
				q.Kick()
			}
			fill()
			for round := range 20 {
				for i, n := range tt.sizes {
					g.tap.send(0, frame(n, round+i))
					if diff := differ(frame(n, round+i), g.packet(rxQueue)); diff != "" {
						t.Fatalf("round %d, a frame of %d bytes: %s", round, n, diff)
					}
					fill()
				}
			}
			if s := g.dev.Stats(); s.RxPackets != uint64(20*len(tt.sizes)) || s.RxDrops != 0 {
				t.Errorf("got %+v; want %d packets", s, 20*len(tt.sizes))
			}
		})
	}
}

// TestReceiveBurst sends many packets at once: all come, in order.
func TestReceiveBurst(t *testing.T) {
	for _, refuse := range []uint64{0, virtio.FeatureEventIdx, featureMergeable | guestOffloads} {
		g := newGuest(t, 1, virtiotest.Options{Refuse: refuse})
		for range 200 {
			g.Queue(rxQueue).Add(nil, 1600)
		}
		g.Queue(rxQueue).Kick()
		for i := range 150 {
			for g.tap.full(0, frame(100, i)) {
				runtime.Gosched()
			}
		}
		for i := range 150 {
			if got := g.packet(rxQueue); !bytes.Equal(got, frame(100, i)) {
				t.Fatalf("packet %d: got %x; want %x", i, got[:20], frame(100, i)[:20])
			}
		}
		if n := g.Queue(rxQueue).Interrupts(); n > 150 {
			t.Errorf("got %d interrupts; want at most one a packet", n)
		}
	}
}

// TestReceiveWaitsForBuffers shows that packets stay in the tap while the driver
// has no buffers.
func TestReceiveWaitsForBuffers(t *testing.T) {
	g := newGuest(t, 1, virtiotest.Options{})
	for i := range 3 {
		g.tap.send(0, frame(100, i))
	}
	for i := range 3 {
		g.Queue(rxQueue).Send(nil, 1536)
		if got := g.packet(rxQueue); !bytes.Equal(got, frame(100, i)) {
			t.Fatalf("packet %d: got %x; want %x", i, got, frame(100, i))
		}
	}
	if s := g.dev.Stats(); s.RxDrops != 0 {
		t.Errorf("got %+v; want no drops", s)
	}
}

// TestReceiveHolds shows that a packet for which the driver has too few buffers
// waits, also over a move and over a rest.
func TestReceiveHolds(t *testing.T) {
	for _, between := range []struct {
		name string
		do   func(g *guest)
	}{
		{"nothing", func(*guest) {}},
		{"rest", func(g *guest) { g.Quiesce(); g.Resume() }},
		{"move", (*guest).move},
	} {
		t.Run(between.name, func(t *testing.T) {
			g := newGuest(t, 1, virtiotest.Options{})
			for range 3 {
				g.Queue(rxQueue).Add(nil, 1536)
			}
			g.Queue(rxQueue).Kick()
			want := frame(60000, 7)
			g.tap.send(0, want)
			settle(t, func() bool { return g.tap.empty(0) })
			between.do(g)
			if r := g.Queue(rxQueue).Poll(); r != nil {
				t.Fatalf("%d bytes were used of a packet that does not fit", r.Used)
			}
			for range 40 {
				g.Queue(rxQueue).Send(nil, 1536)
			}
			if diff := differ(want, g.packet(rxQueue)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestReceiveDrops shows that a packet that can never fit is dropped, and the
// next one comes.
func TestReceiveDrops(t *testing.T) {
	for _, tt := range []struct {
		name   string
		refuse uint64
		size   uint16
		in     int
	}{
		{"not mergeable", featureMergeable, 0, 2048},
		{"whole queue too small", 0, 4, 2048},
		{"longer than expected", noOffloads, 0, 2048},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuest(t, 1, virtiotest.Options{Refuse: tt.refuse, Size: tt.size})
			q := g.Queue(rxQueue)
			for i := 0; i < 8 && q.Free() > 0; i++ {
				q.Add(nil, tt.in)
			}
			q.Kick()
			g.tap.send(0, frame(50000, 1))
			g.tap.send(0, frame(1000, 2))
			if got := g.packet(rxQueue); !bytes.Equal(got, frame(1000, 2)) {
				t.Errorf("got %d bytes, %x; want the packet of 1000 bytes", len(got), got[:20])
			}
			if s := g.dev.Stats(); s.RxDrops != 1 || s.RxPackets != 1 {
				t.Errorf("got %+v; want one packet, one drop", s)
			}
		})
	}
}

func TestBadChains(t *testing.T) {
	far := []virtiotest.Span{{GPA: 1 << 40, Size: 2048}}
	here := func(g *guest, n uint64) []virtiotest.Span {
		return []virtiotest.Span{{GPA: g.mem.Alloc(n), Size: n}}
	}
	for _, tt := range []struct {
		name  string
		queue int
		add   func(g *guest, q *virtiotest.Queue)
	}{
		{"receive: too short", rxQueue, func(g *guest, q *virtiotest.Queue) { q.Add(nil, headerSize-1) }},
		{"receive: readable", rxQueue, func(g *guest, q *virtiotest.Queue) { q.Add([][]byte{{1}}, 2048) }},
		{"receive: outside memory", rxQueue, func(g *guest, q *virtiotest.Queue) { q.AddSpans(nil, far) }},
		{"transmit: writable", txQueue, func(g *guest, q *virtiotest.Queue) { q.Add([][]byte{make([]byte, 100)}, 1) }},
		{"transmit: outside memory", txQueue, func(g *guest, q *virtiotest.Queue) { q.AddSpans(far, nil) }},
		{"control: no room", 2, func(g *guest, q *virtiotest.Queue) { q.Add([][]byte{{0, 0, 1}}) }},
		{"control: no command", 2, func(g *guest, q *virtiotest.Queue) { q.Add([][]byte{{0}}, 1) }},
		{"control: outside memory", 2, func(g *guest, q *virtiotest.Queue) { q.AddSpans(far, here(g, 1)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuest(t, 1, virtiotest.Options{})
			tt.add(g, g.Queue(tt.queue))
			g.Queue(tt.queue).Kick()
			if err := g.WaitFailure(); !errors.Is(err, virtio.ErrDriver) {
				t.Errorf("got %v; want ErrDriver", err)
			}
			g.Stop()
			g.Start()
			g.Queue(txQueue).Do([][]byte{make([]byte, headerSize), frame(60, 1)})
			g.tap.next(0)
		})
	}
}

// TestTapGone shows that a tap that was removed is a link that is down, and not
// a busy loop.
func TestTapGone(t *testing.T) {
	g := newGuest(t, 1, virtiotest.Options{})
	g.Queue(rxQueue).Send(nil, 2048)
	if _, err := unix.Write(g.tap.far[0], []byte{1}); err != nil { // no tap does that
		t.Fatal(err)
	}
	g.packetless()
	g.WaitConfigChanges(1)
	if got := g.Config(6, 2); got[0]&1 != 0 {
		t.Errorf("status: got %v; want that the link is down", got)
	}
	g.move()
	if got := g.Config(6, 2); got[0]&1 == 0 {
		t.Errorf("status after a move: got %v; want that the link is up", got)
	}
	g.WaitConfigChanges(2)
}

// packetless says that nothing was received.
func (g *guest) packetless() {
	g.t.Helper()
	if r := g.Queue(rxQueue).Poll(); r != nil {
		g.t.Errorf("got %d bytes; want nothing", r.Used)
	}
}
