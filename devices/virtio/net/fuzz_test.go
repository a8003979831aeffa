package net

import (
	"encoding/binary"
	"testing"

	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

// FuzzQueues is a driver that does anything with its queues. Each three bytes
// are a step: what, where, how much. The device may fail, and must work again
// after a reset.
func FuzzQueues(f *testing.F) {
	f.Add([]byte{0, 0, 100, 5, 0, 60, 1, 1, 60, 2, 0, 4})
	f.Add([]byte{3, 0, 200, 3, 0, 200, 5, 0, 255, 4, 0, 0, 0, 0, 250, 6, 0, 0})
	f.Add([]byte{0, 0, 1, 0, 0, 2, 7, 1, 0, 8, 0, 0})
	f.Add([]byte{9, 2, 30, 9, 1, 0, 9, 0, 255})
	f.Fuzz(func(t *testing.T, steps []byte) {
		g := newGuestWith(t, 2, 4<<20, virtiotest.Options{Indirect: len(steps)%2 == 0})
		for ; len(steps) >= 3; steps = steps[3:] {
			g.step(steps[0], steps[1], steps[2])
		}
		g.Stop()
		g.Start()
		for g.tap.poll(0, 0) != nil {
		}
		g.Queue(txQueue).Do([][]byte{make([]byte, headerSize), frame(60, 1)})
		if got := g.tap.next(0); len(got) != headerSize+60 {
			t.Errorf("after a reset it sent %d bytes; want %d", len(got), headerSize+60)
		}
	})
}

// step is one thing that a driver, its network or its host may do.
func (g *guest) step(what, where, size byte) {
	q := g.Queue(int(where) % 5)
	n := int(size)
	if q.Free() < 4 && what%10 < 5 {
		return
	}
	switch what % 10 {
	case 0:
		q.Add(nil, n*8+1)
	case 1:
		q.Add([][]byte{make([]byte, headerSize), make([]byte, n+1)})
	case 2:
		q.Add([][]byte{{where, size}, {size, 0}}, 1)
	case 3: // many times the same, and huge
		span := virtiotest.Span{GPA: 0, Size: uint64(n) << 15}
		q.AddSpans(nil, []virtiotest.Span{span, span, span})
	case 4: // partly or wholly elsewhere
		q.AddSpans([]virtiotest.Span{{GPA: uint64(n) << 17, Size: 1 << 20}}, nil)
	case 5:
		g.tap.full(int(where)%2, make([]byte, 20+n*200))
	case 6:
		g.Quiesce()
		g.Resume()
	case 7:
		if g.Failure() == nil {
			g.move()
		}
	case 8: // an index that jumps
		s := q.State()
		index := g.mem.Bytes(s.Avail+2, 2)
		binary.LittleEndian.PutUint16(index, binary.LittleEndian.Uint16(index)+uint16(n))
	case 9: // a descriptor that changes
		s := q.State()
		g.mem.Bytes(s.Desc+uint64(n)%uint64(s.Size)*16, 16)[where%16] ^= size
	}
	q.Kick()
}

// FuzzControl gives the control queue any command, in any layout, and looks
// whether the device still makes sense.
func FuzzControl(f *testing.F) {
	f.Add([]byte{4, 0, 2, 0}, uint8(2))
	f.Add([]byte{5, 0, 2, 0, 0, 0, 0, 0, 0, 0}, uint8(1))
	f.Add([]byte{1, 0, 1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 0}, uint8(7))
	f.Add([]byte{1, 1, 2, 3, 4, 5, 6, 7}, uint8(0))
	f.Add([]byte{1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, cut uint8) {
		if len(data) < commandSize || len(data) > 1<<16 {
			return
		}
		at := min(int(cut), len(data)-1)
		out := [][]byte{data[:at], data[at:]}
		if at == 0 {
			out = out[1:]
		}
		g := newGuestWith(t, 3, 1<<20, virtiotest.Options{})
		answer := g.Queue(6).Do(out, 1)
		if len(answer) != 1 || answer[0] > ackErr {
			t.Fatalf("%x: answered %x", data, answer)
		}
		g.Quiesce()
		s := g.dev.Save()
		if err := s.check(3); err != nil {
			t.Errorf("%x: %v", data, err)
		}
		if s.MAC[0]&1 != 0 || s.MAC == [6]byte{} {
			t.Errorf("%x: the address is %x", data, s.MAC)
		}
		g.Resume()
	})
}

// FuzzTransmit sends any bytes: the tap gets them as they are, or they are
// dropped.
func FuzzTransmit(f *testing.F) {
	f.Add(make([]byte, headerSize+ethernetSize), uint8(12))
	f.Add(make([]byte, 5), uint8(2))
	f.Fuzz(func(t *testing.T, data []byte, cut uint8) {
		if len(data) == 0 || len(data) > 100<<10 {
			return
		}
		at := min(int(cut), len(data)-1)
		out := [][]byte{data[:at], data[at:]}
		if at == 0 {
			out = out[1:]
		}
		g := newGuestWith(t, 1, 1<<20, virtiotest.Options{})
		before := g.dev.Stats()
		g.Queue(txQueue).Do(out)
		s := g.dev.Stats()
		if s.TxPackets == before.TxPackets {
			if s.TxDrops != before.TxDrops+1 {
				t.Fatalf("%d bytes were neither sent nor dropped", len(data))
			}
			return
		}
		if diff := differ(data, g.tap.next(0)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// FuzzDeliver forwards any bytes to any queue: the driver gets them as they are, or they are refused.
func FuzzDeliver(f *testing.F) {
	f.Add(make([]byte, headerSize+ethernetSize), 0)
	f.Add(make([]byte, headerSize+ethernetSize-1), 1)
	f.Add(make([]byte, maxPacket), -1)
	f.Fuzz(func(t *testing.T, data []byte, queue int) {
		g := newGuestWith(t, 1, 4<<20, virtiotest.Options{})
		if taken := g.dev.Deliver(queue, data); taken != (len(data) >= headerSize+ethernetSize && len(data) <= maxPacket) {
			t.Fatalf("%d bytes: taken: %v", len(data), taken)
		} else if !taken {
			return
		}
		for range 50 {
			g.Queue(rxQueue).Send(nil, 1536)
		}
		if diff := differ(data[headerSize:], g.packet(rxQueue)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// FuzzState makes a device of any state, and looks whether it can be one.
func FuzzState(f *testing.F) {
	f.Add(1, uint64(0), []byte(nil), true)
	f.Add(2, uint64(featureGuestCsum), make([]byte, headerSize), false)
	f.Add(-1, uint64(1)<<63, make([]byte, maxPacket+1), true)
	f.Fuzz(func(t *testing.T, pairs int, offloads uint64, held []byte, link bool) {
		s := State{Pairs: pairs, Offloads: offloads, OffloadsSet: link, LinkUp: link, Held: [][]byte{held}}
		if s.check(2) != nil {
			return
		}
		tap := newFakeTap(t, 2)
		d := virtiotest.Run(t, tap.device(Config{}, &s), virtiotest.NewMemory(t, 4<<20), virtiotest.Options{})
		if len(held) > 0 {
			for range 50 {
				d.Queue(rxQueue).Send(nil, 1536)
			}
			d.Queue(rxQueue).Next()
		}
	})
}
