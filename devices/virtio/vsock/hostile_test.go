package vsock_test

import (
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
	"github.com/ferryvmm/ferry/devices/virtio/vsock"
)

// What is no packet, and what has no room for one, is the end until a reset.
func TestBrokenDriver(t *testing.T) {
	long := packet{Op: data, Src: 1, Dst: 2, Data: "12345"}.encode()
	tests := []struct {
		name  string
		queue int
		out   [][]byte
		in    []int
	}{
		{"short packet", transmitQueue, [][]byte{make([]byte, headerSize-1)}, nil},
		{"no packet", transmitQueue, nil, []int{0}},
		{"packet cut off", transmitQueue, [][]byte{long[:20], long[20 : len(long)-1]}, nil},
		{"packet to write", transmitQueue, [][]byte{long}, []int{8}},
		{"room for a header", receiveQueue, nil, []int{headerSize}},
		{"room for part of a header", receiveQueue, nil, []int{headerSize - 1}},
		{"room to read", receiveQueue, [][]byte{make([]byte, 100)}, nil},
		{"room for part of an event", eventQueue, nil, []int{3}},
		{"event to read", eventQueue, [][]byte{make([]byte, 4)}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPrograms(t)
			d := virtiotest.Run(t, device(t, p, &vsock.State{}), virtiotest.NewMemory(t, 1<<20), virtiotest.Options{})
			if tt.queue != eventQueue {
				d.Queue(eventQueue).Do(nil, 4)
			}
			if tt.queue == receiveQueue { // so that there is something to receive
				d.Queue(transmitQueue).Do([][]byte{long})
			}
			d.Queue(tt.queue).Send(tt.out, tt.in...)
			if err := d.WaitFailure(); !errors.Is(err, virtio.ErrDriver) {
				t.Errorf("failure: got %v; want ErrDriver", err)
			}
			for i := range 3 {
				d.Queue(i).Add(nil, 100) // of no more interest
				d.Queue(i).Kick()
			}
			d.Quiesce()
			d.Resume()
			d.Stop()
			d.Start()
			g := &guest{Driver: d, t: t, buffer: 1000}
			g.refill()
			g.connect(p)
		})
	}
}

// What no connection is for is refused, and nothing else happens.
func TestUnknownPackets(t *testing.T) {
	g := boot(t, device(t, newPrograms(t), nil), virtiotest.Options{})
	for _, op := range []int{0, response, shutdown, data, creditUpdate, creditRequest, creditRequest + 1, 0xffff} {
		g.send(packet{Op: op, Src: 1, Dst: 2, Flags: noReceive | noSend, Data: "data"})
		g.want(packet{Op: reset, Src: 2, Dst: 1})
	}
	g.send(packet{Op: reset, Src: 1, Dst: 2}) // or both would go on for ever
	g.wantNothing()
}

func TestUnknownAddresses(t *testing.T) {
	g := boot(t, device(t, newPrograms(t), nil), virtiotest.Options{})
	send := func(change func(b []byte)) {
		t.Helper()
		b := packet{Op: request, Src: 1, Dst: 52, Alloc: 1}.encode()
		change(b)
		g.Queue(transmitQueue).Do([][]byte{b})
	}
	le := binary.LittleEndian
	send(func(b []byte) { le.PutUint64(b, guestCID+1) })
	send(func(b []byte) { le.PutUint64(b, guestCID|1<<32) })
	g.wantNothing() // it is not the guest

	want := make([]byte, headerSize)
	le.PutUint64(want, 5)
	le.PutUint64(want[8:], guestCID)
	le.PutUint32(want[16:], 52)
	le.PutUint32(want[20:], 1)
	le.PutUint16(want[28:], 1)
	le.PutUint16(want[30:], reset)
	send(func(b []byte) { le.PutUint64(b[8:], 5) })
	if diff := cmp.Diff(want, g.Queue(receiveQueue).Next().Written); diff != "" {
		t.Errorf("to another machine (-want +got):\n%s", diff)
	}
	le.PutUint64(want, 2)
	le.PutUint16(want[28:], 2)
	send(func(b []byte) { le.PutUint16(b[28:], 2) })
	if diff := cmp.Diff(want, g.Queue(receiveQueue).Next().Written); diff != "" {
		t.Errorf("to a socket of packets (-want +got):\n%s", diff)
	}
	g.wantNothing()
}

// A guest that breaks the rules of a connection loses it.
func TestBrokenConnection(t *testing.T) {
	tests := []struct {
		name string
		sent []packet
	}{
		{"unknown operation", []packet{{Op: 0}}},
		{"another", []packet{{Op: 99}}},
		{"request again", []packet{{Op: request}}},
		{"response unasked", []packet{{Op: response}}},
		{"data after the end", []packet{{Op: shutdown, Flags: noSend}, {Op: data, Data: "x"}}},
		{"more than there is room for", []packet{{Op: data, Data: strings.Repeat("x", window+1)}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPrograms(t)
			g := boot(t, device(t, p, nil), virtiotest.Options{})
			s := g.connect(p)
			for _, p := range tt.sent {
				p.Src, p.Dst = 1000, 52
				g.send(p)
			}
			g.want(packet{Op: reset, Src: 52, Dst: 1000})
			expect(t, s, "", true)
			g.wantNothing()
			g.connect(p)
		})
	}
	t.Run("data before the answer", func(t *testing.T) {
		g := boot(t, device(t, &stuck{}, nil), virtiotest.Options{})
		g.send(packet{Op: request, Src: 1000, Dst: 52})
		g.send(packet{Op: data, Src: 1000, Dst: 52, Data: "x"})
		g.want(packet{Op: reset, Src: 52, Dst: 1000})
	})
	t.Run("its buffer shrinks", func(t *testing.T) {
		p := newPrograms(t)
		g := boot(t, device(t, p, nil), virtiotest.Options{})
		s := g.connect(p)
		write(t, s, "0123456789")
		g.want(packet{Op: data, Src: 52, Dst: 1000, Data: "0123456789"})
		for _, lie := range []packet{{Forwarded: 11}, {Forwarded: 1 << 31}, {Alloc: 9}} {
			lie.Op, lie.Src, lie.Dst = creditUpdate, 1000, 52
			lie.Alloc = max(lie.Alloc, 1)
			g.send(lie)
			write(t, s, "x")
			g.want(packet{Op: creditRequest, Src: 52, Dst: 1000})
			g.wantNothing()
			g.send(packet{Op: creditUpdate, Src: 1000, Dst: 52, Forwarded: 10})
			g.want(packet{Op: data, Src: 52, Dst: 1000, Data: "x"})
			g.send(packet{Op: creditUpdate, Src: 1000, Dst: 52, Forwarded: 10})
		}
	})
}

// A guest that does not receive the answers to its packets is not listened to
// any more, until it does.
func TestFlood(t *testing.T) {
	dev := device(t, newPrograms(t), nil)
	d := virtiotest.Run(t, dev, virtiotest.NewMemory(t, 1<<20), virtiotest.Options{})
	g := &guest{Driver: d, t: t, buffer: 100}
	const flood, answers = 200, 64
	q := d.Queue(transmitQueue)
	for i := range flood {
		q.Send([][]byte{packet{Op: data, Src: uint32(i), Dst: 2}.encode()})
	}
	for range answers {
		q.Next()
	}
	d.Quiesce()
	if q.Poll() != nil {
		t.Errorf("took more than %d packets without room for answers", answers)
	}
	d.Resume()
	g.refill()
	for i := range flood {
		g.want(packet{Op: reset, Src: 2, Dst: uint32(i)})
	}
	for range flood - answers {
		q.Next()
	}
	g.wantNothing()
}

// There are so many connections and no more; one that ends makes room.
func TestLimit(t *testing.T) {
	const limit = 256
	p := newPrograms(t)
	dev := device(t, p, nil)
	g := boot(t, dev, virtiotest.Options{})
	var all []*net.UnixConn
	for i := range limit {
		g.send(packet{Op: request, Src: uint32(i), Dst: 52})
		g.want(packet{Op: response, Src: 52, Dst: uint32(i)})
		all = append(all, <-p.came)
	}
	g.send(packet{Op: request, Src: limit, Dst: 52})
	g.want(packet{Op: reset, Src: 52, Dst: limit})
	end, s := socketpair(t)
	dev.Accept(end)
	expect(t, s, "", true)

	g.send(packet{Op: reset, Src: 0, Dst: 52})
	expect(t, all[0], "", true)
	for answer := 0; answer != response; { // its goroutines may not have ended yet
		g.send(packet{Op: request, Src: limit, Dst: 52})
		answer = g.receive().Op
	}
}

// Requests that the host does not answer are bounded too, and forgotten with the device.
func TestLimitOfDials(t *testing.T) {
	var host stuck
	dev := device(t, &host, nil)
	g := boot(t, dev, virtiotest.Options{})
	refused := 0
	for i := range 300 {
		g.send(packet{Op: request, Src: uint32(i), Dst: 52})
	}
	for r := g.Queue(receiveQueue).Poll(); r != nil; r = g.Queue(receiveQueue).Poll() {
		if got := decode(t, r.Written); got.Op == reset && got.Dst >= 256 {
			refused++
		}
	}
	g.Close()
	if refused > 300-256 || host.calls > 256 {
		t.Errorf("refused %d and dialled %d of 300; want at most 44 and 256", refused, host.calls)
	}
}
