package vsock_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

// pattern is a stream whose bytes tell where they belong.
type pattern struct {
	seed uint64
	at   uint64 // in the stream
	end  uint64
}

func (p *pattern) byte() byte {
	x := (p.at/8 + p.seed) * 0x9e3779b97f4a7c15
	x ^= x >> 29
	b := byte(x >> (p.at % 8 * 8))
	p.at++
	return b
}

// Read makes the next bytes of the stream.
func (p *pattern) Read(b []byte) (int, error) {
	n := int(min(uint64(len(b)), p.end-p.at))
	if n == 0 {
		return 0, io.EOF
	}
	for i := range b[:n] {
		b[i] = p.byte()
	}
	return n, nil
}

// Write checks the next bytes of the stream.
func (p *pattern) Write(b []byte) (int, error) {
	for i, got := range b {
		if p.at == p.end {
			return i, fmt.Errorf("%d bytes beyond the stream's end", len(b)-i)
		}
		if at, want := p.at, p.byte(); got != want {
			return i, fmt.Errorf("byte %d: got %#x; want %#x", at, got, want)
		}
	}
	return len(b), nil
}

// flow is one of the guest's connections, with a stream each way.
type flow struct {
	src, dst         uint32
	alloc, forwarded uint32 // as the device says
	sent             uint32
	out, in          pattern
	told             uint32 // of in, as the device knows
	opened           bool
	asked            bool // for an update
}

func newFlow(i int, bytes uint64) *flow {
	return &flow{src: uint32(1000 + i), dst: uint32(i % 100), out: pattern{seed: uint64(i), end: bytes}, in: pattern{seed: uint64(1000 + i), end: bytes}}
}

// guestRoom is little, and no power of two, so that the device waits for it often.
const guestRoom = 10_007

// packet is what the flow has to say, if anything.
func (f *flow) packet() (p packet, ok bool) {
	p = packet{Src: f.src, Dst: f.dst, Alloc: guestRoom, Forwarded: uint32(f.in.at)}
	n := min(f.alloc-(f.sent-f.forwarded), 16<<10)
	switch {
	case f.opened && n > 0 && f.out.at < f.out.end:
		b := make([]byte, n)
		k, _ := f.out.Read(b)
		f.sent += uint32(k)
		p.Op, p.Data = data, string(b[:k])
	case f.asked || p.Forwarded-f.told > guestRoom/3:
		p.Op = creditUpdate
	default:
		return p, false
	}
	f.told, f.asked = p.Forwarded, false
	return p, true
}

// take is what the flow does with a packet of the device.
func (f *flow) take(t *testing.T, p packet) {
	t.Helper()
	f.alloc, f.forwarded = p.Alloc, p.Forwarded
	switch p.Op {
	case response:
		f.opened = true
	case data:
		if _, err := f.in.Write([]byte(p.Data)); err != nil {
			t.Fatalf("to the guest's port %d: %v", f.src, err)
		}
		if n := uint32(f.in.at) - f.told; n > guestRoom {
			t.Fatalf("to the guest's port %d: got %d bytes without credit; want at most %d", f.src, n, guestRoom)
		}
	case creditUpdate:
	case creditRequest:
		f.asked = true
	case shutdown: // the host program is done
		if f.in.at != f.in.end {
			t.Fatalf("to the guest's port %d: a shutdown after %d bytes of %d", f.src, f.in.at, f.in.end)
		}
	default:
		t.Fatalf("to the guest's port %d: got %+v", f.src, p)
	}
}

func (f *flow) done() bool { return f.out.at == f.out.end && f.in.at == f.in.end }

// exchange runs the guest's side of flows until all is sent and received.
func (g *guest) exchange(t *testing.T, flows []*flow) {
	t.Helper()
	byPort := make(map[uint32]*flow)
	rx, tx := g.Queue(receiveQueue), g.Queue(transmitQueue)
	for _, f := range flows {
		byPort[f.src] = f
		g.send(packet{Op: request, Src: f.src, Dst: f.dst, Alloc: guestRoom})
	}
	for packets, left := 0, len(flows); left > 0; {
		left = 0
		moved := false
		for _, f := range flows {
			if !f.done() {
				left++
			}
			for tx.Free() >= 2 {
				p, ok := f.packet()
				if !ok {
					break
				}
				tx.Send([][]byte{p.encode()})
				moved = true
			}
		}
		for tx.Poll() != nil {
			moved = true
		}
		r := rx.Poll()
		if r == nil && !moved && left > 0 {
			r = rx.Next()
		}
		for ; r != nil; r = rx.Poll() {
			p := decode(t, r.Written)
			byPort[p.Dst].take(t, p)
			if packets++; packets%200 == 0 { // a pause, or a move that fails
				g.Quiesce()
				g.Resume()
			}
		}
		g.refill()
	}
}

// serve is a host program's side of the flow that the first bytes are of: they
// come in any order.
func serve(s *net.UnixConn, flows []*flow) error {
	defer s.Close()
	first := make([]byte, 8)
	if _, err := io.ReadFull(s, first); err != nil {
		return err
	}
	for _, f := range flows {
		in, out := pattern{seed: f.out.seed, end: f.out.end}, pattern{seed: f.in.seed, end: f.in.end}
		if _, err := in.Write(first); err != nil {
			continue
		}
		wrote := make(chan error, 1)
		go func() {
			_, err := io.Copy(s, &out)
			wrote <- err
		}()
		_, err := io.Copy(&in, io.LimitReader(s, int64(in.end-in.at)))
		if err == nil && in.at != in.end {
			err = fmt.Errorf("got %d bytes; want %d", in.at, in.end)
		}
		return errors.Join(err, <-wrote)
	}
	return fmt.Errorf("%x is the beginning of no stream", first)
}

func TestTraffic(t *testing.T) {
	for _, tt := range []struct {
		flows int
		bytes uint64
	}{{1, 1 << 20}, {20, 50 << 10}} {
		t.Run(fmt.Sprint(tt.flows, " flows"), func(t *testing.T) {
			before := descriptors(t)
			p := newPrograms(t)
			g := boot(t, device(t, p, nil), virtiotest.Options{Indirect: true})
			flows := make([]*flow, tt.flows)
			for i := range flows {
				flows[i] = newFlow(i, tt.bytes)
			}
			served := make(chan error)
			hosts := make(chan struct{})
			go func() {
				defer close(hosts)
				for range flows {
					s := <-p.came
					go func() { served <- serve(s, flows) }()
				}
			}()
			g.exchange(t, flows)
			<-hosts
			for range flows {
				if err := <-served; err != nil {
					t.Errorf("a host program: %v", err)
				}
			}
			g.Close()
			if after := descriptors(t); after != before {
				t.Errorf("open descriptors: got %d; want %d, as before", after, before)
			}
		})
	}
}

// descriptors counts those that this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
