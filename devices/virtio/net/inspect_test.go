package net

import (
	"bytes"
	"sync/atomic"
	"testing"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

// judge lets frames pass whose last visible byte is even, and notes the last that it saw.
type judge struct{ head, size atomic.Int64 }

func (j *judge) Inspect(head []byte, size int) bool {
	j.head.Store(int64(len(head)))
	j.size.Store(int64(size))
	return head[len(head)-1]%2 == 0
}

// newInspected is a guest with judges.
func newInspected(t testing.TB, o virtiotest.Options) (g *guest, sent, received *judge) {
	t.Helper()
	sent, received = &judge{}, &judge{}
	g = &guest{t: t, tap: newFakeTap(t, 1), mem: virtiotest.NewMemory(t, 8<<20)}
	g.dev = g.tap.device(Config{Sent: sent, Received: received}, nil)
	g.Driver = virtiotest.Run(t, g.dev, g.mem, o)
	return g, sent, received
}

// marked is a frame whose byte at the end of what is inspected is v.
func marked(n int, v byte) []byte {
	f := frame(n, 0)
	f[min(n, headSize)-1] = v
	return f
}

func TestInspectors(t *testing.T) {
	for _, size := range []int{60, headSize - 1, headSize, headSize + 1, 9000} {
		g, sent, received := newInspected(t, virtiotest.Options{})
		for range 20 {
			g.Queue(rxQueue).Add(nil, 1536)
		}
		g.Queue(rxQueue).Kick()
		for v := range byte(4) {
			f := marked(size, v)
			head := packetOf(f)[:headerSize+3]
			g.Queue(txQueue).Do([][]byte{head, f[3:10], f[10:]})
			g.tap.send(0, f)
		}
		for _, v := range []byte{0, 2} {
			if got := g.tap.next(0)[headerSize:]; !bytes.Equal(got, marked(size, v)) {
				t.Errorf("%d bytes: sent: %s", size, differ(marked(size, v), got))
			}
			if got := g.packet(rxQueue); !bytes.Equal(got, marked(size, v)) {
				t.Errorf("%d bytes: received: %s", size, differ(marked(size, v), got))
			}
		}
		g.packetless()
		if p := g.tap.poll(0, 0); p != nil {
			t.Errorf("%d bytes: sent %d packets more than pass", size, len(p))
		}
		for _, j := range []*judge{sent, received} {
			if head, n := j.head.Load(), j.size.Load(); head != int64(min(size, headSize)) || n != int64(size) {
				t.Errorf("%d bytes: an inspector saw %d of %d", size, head, n)
			}
		}
		settle(t, func() bool { return g.dev.Stats().RxRefused == 2 })
		if s := g.dev.Stats(); s.TxRefused != 2 || s.TxPackets != 2 || s.RxPackets != 2 || s.TxDrops+s.RxDrops != 0 {
			t.Errorf("%d bytes: got %+v; want two packets and two refused each way", size, s)
		}
	}
}

// fickle is an inspector with which the guest writes to what is inspected.
type fickle struct{ guest []byte }

func (f fickle) Inspect(head []byte, _ int) bool {
	copy(f.guest, bytes.Repeat([]byte{0xee}, len(f.guest)))
	return true
}

// TestInspectedIsSent shows that a guest cannot exchange what was inspected.
func TestInspectedIsSent(t *testing.T) {
	tap := newFakeTap(t, 1)
	packet := packetOf(frame(2000, 1))
	want := bytes.Clone(packet[:headerSize+headSize])
	dev := tap.device(Config{Sent: fickle{packet}}, nil)
	t.Cleanup(func() { dev.Close() })
	if _, err := dev.pairs[0].tx.send(&virtio.Chain{Readable: []virtio.Buffer{{Bytes: packet}}}); err != nil {
		t.Fatal(err)
	}
	if got := tap.next(0); len(got) != len(packet) || !bytes.Equal(got[:len(want)], want) {
		t.Errorf("sent what the guest put there after the inspection: %s", differ(want, got[:len(want)]))
	}
}
