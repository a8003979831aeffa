package vsock

import (
	"context"
	"io"
	"math"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// The counters of credit go round, and what is in flight stays what it is.
func TestCreditGoesRound(t *testing.T) {
	for _, start := range []uint32{0, math.MaxUint32 - 100, math.MaxUint32} {
		c := credit{sent: start, guestForwarded: start, forwarded: start, told: start}
		for range 1000 {
			if c.learn(header{alloc: 300, forwarded: c.sent - 100}); c.sent == start {
				c.learn(header{alloc: 300, forwarded: start})
			}
			n := min(c.room(), 250)
			c.sent += n
			if waiting := c.sent - c.guestForwarded; waiting > 300 {
				t.Fatalf("from %d: %d bytes are on the way; want at most 300", start, waiting)
			}
			if n == 0 {
				t.Fatalf("from %d: no room; want some", start)
			}
		}
		c.learn(header{alloc: 50, forwarded: c.sent - 100}) // it has shrunk
		if n := c.room(); n != 0 {
			t.Errorf("from %d: room %d; want 0", start, n)
		}
		c.learn(header{alloc: math.MaxUint32, forwarded: c.sent - 100})
		if n := c.room(); n != math.MaxUint32-100 {
			t.Errorf("from %d: room %d; want all but 100", start, n)
		}
		c.forwarded += window/2 - 1
		if c.due() {
			t.Errorf("from %d: due before half of the window", start)
		}
		c.forwarded++
		if !c.due() {
			t.Errorf("from %d: not due after half of the window", start)
		}
		var h header
		if c.tell(&h); c.due() || h.forwarded != start+window/2 || h.alloc != window {
			t.Errorf("from %d: told %+v; want all", start, h)
		}
	}
}

func TestHeader(t *testing.T) {
	var raw [headerSize]byte
	for i := range raw {
		raw[i] = byte(i + 1)
	}
	var again [headerSize]byte
	parseHeader(&raw).put(&again)
	if raw != again {
		t.Errorf("header: got %x; want %x", again, raw)
	}
}

// sink is a stream that takes everything, and gives a few bytes.
type sink struct {
	net.Conn
	gives int
	ended chan struct{}
}

func (s *sink) Read(p []byte) (int, error) {
	if s.gives == 0 {
		<-s.ended
		return 0, io.EOF
	}
	n := min(s.gives, len(p))
	s.gives -= n
	return n, nil
}
func (*sink) Write(p []byte) (int, error)      { return len(p), nil }
func (*sink) SetWriteDeadline(time.Time) error { return nil }
func (s *sink) SetReadDeadline(d time.Time) error {
	if !d.IsZero() {
		s.end()
	}
	return nil
}
func (s *sink) Close() error { s.end(); return nil }
func (s *sink) end() {
	select {
	case <-s.ended:
	default:
		close(s.ended) // always with the device's lock held
	}
}

// sinks is a host where every other port is open.
type sinks struct{ gives int }

func (s sinks) Dial(_ context.Context, port uint32) (net.Conn, error) {
	if port%2 == 1 {
		return nil, io.EOF
	}
	return &sink{gives: s.gives, ended: make(chan struct{})}, nil
}

func working(t testing.TB, h Host) *Device {
	t.Helper()
	d, err := New(Config{CID: 3, Host: h}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d.transmitter, err = virtio.NewKick(); err != nil {
		t.Fatal(err)
	}
	kick := d.transmitter
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		kick.Close()
	})
	return d
}

// chain is a packet on its way.
func chain(h header, data []byte) *virtio.Chain {
	raw := new([headerSize]byte)
	h.put(raw)
	return &virtio.Chain{Readable: []virtio.Buffer{{Bytes: raw[:]}, {Bytes: data}}}
}

// take is what the guest receives next, without its data.
func (d *Device) take(room int) (header, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h, c, ok := d.next(room)
	if ok && h.op == opData {
		c.in.drop(int(h.size))
		c.changed.Broadcast()
	}
	return h, ok
}

// FuzzPacket sends packets as they come, 8 bytes each that choose among the
// interesting, and checks what must hold after each.
func FuzzPacket(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x09"))
	f.Add([]byte("\x01\x02\x00\x00\x00\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00\x06\x02\x00\x00\x00\xff\xff\x00\x04\x02\x01\x00\x00\x00\x00\x00"))
	data := make([]byte, window+10)
	f.Fuzz(func(t *testing.T, script []byte) {
		synctest.Test(t, func(t *testing.T) {
			d := working(t, sinks{gives: 100})
			script := script[:min(len(script), 1000)]
			for ; len(script) >= 8; script = script[8:] {
				d.play(t, [8]byte(script), data)
				synctest.Wait() // so that the same script always does the same
				d.check(t)
			}
		})
	})
}

// play does a step of a script: the guest sends or receives a packet.
func (d *Device) play(t *testing.T, b [8]byte, data []byte) {
	t.Helper()
	if b[0]&0x80 != 0 {
		room := 1 + int(b[1])<<8
		if h, ok := d.take(room); ok && (h.dstCID != 3 || int(h.size) > room || h.size > 0 && h.op != opData) {
			t.Fatalf("packet to the guest: got %+v", h)
		}
		return
	}
	h := header{
		srcCID: 3, dstCID: hostCID, srcPort: uint32(b[1] & 7), dstPort: uint32(b[2] & 7), kind: typeStream,
		op: op(b[0] & 15), flags: uint32(b[3]), alloc: uint32(b[4]) << (b[5] & 31), forwarded: uint32(b[6]) << (b[5] & 31),
		size: uint32(b[7]) << 9,
	}
	if b[0]&0x10 != 0 {
		h.dstCID = uint64(b[3])
	}
	_, _ = d.transmit(chain(h, data[:min(int(h.size), len(data))]))
}

// check is what always holds.
func (d *Device) check(t *testing.T) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.conns) > maxConns || len(d.live) > maxConns || len(d.resets) > maxResets || len(d.ready) > len(d.conns) {
		t.Fatalf("got %d connections, %d live, %d ready, %d resets", len(d.conns), len(d.live), len(d.ready), len(d.resets))
	}
	queued := 0
	for p, c := range d.conns {
		if c.ports != p || c.in.count > len(c.in.buf) || c.out.count > len(c.out.buf) || c.in.count < 0 || c.out.count < 0 {
			t.Fatalf("connection %+v: got %+v, %d bytes in, %d out", p, c.ports, c.in.count, c.out.count)
		}
		if c.queued {
			queued++
		}
	}
	if queued != len(d.ready) {
		t.Fatalf("%d connections say that they are ready; want %d", queued, len(d.ready))
	}
}

// FuzzGreeting checks that what is accepted has a port in it.
func FuzzGreeting(f *testing.F) {
	for _, s := range []string{"CONNECT 80", "connect 4294967295\r", "CONNECT", "GET / HTTP/1.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if port, err := parseGreeting(line); err != nil && port != 0 {
			t.Errorf("%q: got port %d and %v", line, port, err)
		}
	})
}

func TestPacketsAllocateNothing(t *testing.T) {
	d := working(t, sinks{})
	h := header{srcCID: 3, dstCID: hostCID, srcPort: 9, dstPort: 4, kind: typeStream, op: opRequest, alloc: 1 << 20}
	if _, err := d.transmit(chain(h, nil)); err != nil {
		t.Fatal(err)
	}
	for answered := false; !answered; _, answered = d.take(100) {
		runtime.Gosched()
	}
	d.mu.Lock()
	c := d.conns[ports{4, 9}]
	d.mu.Unlock()
	h.op, h.size = opData, 100
	packet := chain(h, make([]byte, 100))
	n := testing.AllocsPerRun(200, func() {
		if _, err := d.transmit(packet); err != nil {
			t.Error(err)
		}
		d.mu.Lock()
		c.in.add(10)
		d.announce(c)
		for c.out.count > 0 { // until the host has it
			d.mu.Unlock()
			runtime.Gosched()
			d.mu.Lock()
		}
		d.mu.Unlock()
		for ok := true; ok; _, ok = d.take(4096) {
		}
	})
	if n != 0 {
		t.Errorf("got %v allocations for a packet each way; want 0", n)
	}
}
