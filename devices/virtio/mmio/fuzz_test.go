package mmio_test

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/mmio"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

// input is what the fuzzer gives; behind its end are zeros.
type input []byte

func (in *input) bytes(n int) []byte {
	p := make([]byte, n)
	copy(p, *in)
	*in = (*in)[min(n, len(*in)):]
	return p
}

func (in *input) u8() byte    { return in.bytes(1)[0] }
func (in *input) u16() uint16 { return binary.LittleEndian.Uint16(in.bytes(2)) }
func (in *input) u32() uint32 { return binary.LittleEndian.Uint32(in.bytes(4)) }
func (in *input) u64() uint64 { return binary.LittleEndian.Uint64(in.bytes(8)) }

// address is one in memory or near it, or any at all.
func (in *input) address() uint64 {
	if p := in.u16(); p != 0xffff {
		return uint64(p) * 2
	}
	return in.u64()
}

func (in *input) queue() virtio.QueueState {
	return virtio.QueueState{Size: 1 << (in.u8() % 8), Desc: in.address(), Avail: in.address(), Use: in.address()}
}

// direct is an echo device that works when it is told to, so that the same input
// does the same every time.
type direct struct {
	*virtiotest.Echo
	driver virtio.Driver
	rests  bool
}

func newDirect() virtio.Device { return &direct{Echo: virtiotest.NewEcho(8, 128), rests: true} }

func (d *direct) Start(driver virtio.Driver) error { d.driver = driver; return nil }
func (d *direct) Stop()                            { d.driver = virtio.Driver{} }
func (d *direct) Quiesce(context.Context) error    { d.rests = true; return nil }
func (d *direct) Resume()                          { d.rests = false; d.work() }

// work serves every request.
func (d *direct) work() {
	if d.rests {
		return
	}
	for _, q := range d.driver.Queues {
		if q != nil {
			d.serve(q)
		}
	}
}

func (d *direct) serve(q *virtio.Queue) {
	var c virtio.Chain
	for range 256 { // what the device writes may be more requests
		ok, err := q.Pop(&c)
		if err != nil {
			d.driver.Transport.Fail(err)
			return
		}
		if !ok {
			break
		}
		written, _ := virtiotest.Answer(&c)
		q.Push(&c, written)
		q.Publish()
	}
	q.WantKicks()
}

// fuzzMemory is how much memory a hostile guest has.
const fuzzMemory = 0x8000

// hostileBoards makes boards that share memory and kicks, which cost more than all else.
func hostileBoards(f *testing.F) func(t *testing.T) *board {
	mem := virtiotest.NewMemory(f, fuzzMemory)
	all := mem.Bytes(0, fuzzMemory)
	kicks, err := virtio.NewKicks(2)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = virtio.CloseKicks(kicks) })
	return func(t *testing.T) *board {
		clear(all)
		b := &board{t: t, all: all, mem: mem, kicks: kicks, make: newDirect}
		t.Cleanup(func() {
			if b.Transport != nil {
				_ = b.Close()
			}
		})
		return b
	}
}

// act does one thing that a guest can do, and looks whether the registers agree.
func (b *board) act(in *input) {
	switch in.u8() % 9 {
	case 0:
		b.set(uint64(in.u8())*4, in.u32())
	case 1:
		offset, p := uint64(in.u16())%mmio.Size, make([]byte, 1<<(in.u8()%4))
		b.Read(offset, p)
		b.Write(offset, in.bytes(len(p)))
	case 2:
		b.set(status, uint32(in.u8()))
	case 3:
		b.negotiate(accepted &^ (uint64(in.u8()) << 24))
	case 4:
		b.place(int(in.u8())%3, in.queue())
	case 5:
		b.set(status, acknowledge|driver|featuresOK|driverOK)
	case 6:
		copy(b.all[in.address()%fuzzMemory:], in.bytes(int(in.u8())))
	case 7:
		b.set(queueNotify, uint32(in.u8()))
	case 8:
		b.device.(*direct).work()
	}
	s := b.get(status)
	if s&driverOK != 0 && s&featuresOK == 0 || s&^(acknowledge|driver|driverOK|featuresOK|needsReset|failed) != 0 {
		b.t.Fatalf("status: got %#x", s)
	}
	if got := b.get(interruptStatus); got > 3 {
		b.t.Fatalf("interrupt status: got %#x; want at most 3", got)
	}
}

// move saves a board, as long as it is at rest, and goes on with what is restored.
func (b *board) move() {
	if err := b.Transport.Quiesce(b.t.Context()); err != nil {
		b.t.Fatalf("Quiesce: %v", err)
	}
	saved := b.Save()
	var before, after [config / 4]uint32
	for i := range before {
		before[i] = b.get(uint64(i) * 4)
	}
	b.remake(&saved)
	for i := range after {
		after[i] = b.get(uint64(i) * 4)
	}
	if before != after {
		b.t.Fatalf("registers after a move (-before +after):\n%s", cmp.Diff(before, after))
	}
	if diff := cmp.Diff(saved, b.Save()); diff != "" {
		b.t.Fatalf("save, restore, save (-want +got):\n%s", diff)
	}
	b.Restored()
	b.Resume()
}

// FuzzRegisters has a guest write anything to registers, in any order and width,
// and to its memory, and move now and then.
func FuzzRegisters(f *testing.F) {
	place := []byte{4, 0, 3, 0x00, 0x08, 0x01, 0x18, 0x02, 0x20}
	ring := []byte{
		6, 0x00, 0x08, 32, // descriptors
		0, 0x20, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1, 0, 1, 0,
		0, 0x30, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 2, 0, 0, 0,
		6, 0x02, 0x18, 4, 1, 0, 0, 0, // available
	}
	seed := func(parts ...[]byte) {
		var all []byte
		for _, p := range parts {
			all = append(all, p...)
		}
		f.Add(all)
	}
	seed([]byte{3, 0}, place, ring, []byte{5, 8, 7, 0, 9}, ring[36:], []byte{8, 9, 2, 0})
	seed([]byte{3, 0, 4, 1, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 8, 1, 8, 5, 9, 2, 0, 3, 0})
	seed([]byte{2, 15, 3, 0x30, 5, 9, 1, 0x00, 0x01, 3, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0x1c, 15, 0, 0, 0, 9})
	boards := hostileBoards(f)
	f.Fuzz(func(t *testing.T, ops []byte) {
		b := boards(t)
		b.remake(nil)
		b.Resume()
		for in := input(ops); len(in) > 0; {
			if in[0]%10 == 9 {
				in.u8()
				b.move()
			} else {
				b.act(&in)
			}
		}
	})
}

// FuzzState has a peer send any state, and the guest go on with it.
func FuzzState(f *testing.F) {
	good := []byte{15, 0, 0, 0, 3, 0, 0, 0, 0x08, 0, 0, 0x30, 1, 0, 0, 0, 2}
	good = append(good, 1, 3, 0x00, 0x08, 0x01, 0x18, 0x02, 0x20, 5, 0, 5, 0)
	good = append(good, 1, 7, 0x00, 0x10, 0x01, 0x28, 0x02, 0x30, 0, 0, 0, 0)
	f.Add(append(good, 7, 0, 8, 2, 0))
	f.Add([]byte{15 | needsReset, 0, 0, 0, 3, 0, 0, 0, 0x08, 0, 0, 0x30, 1, 0, 0, 0, 2})
	boards := hostileBoards(f)
	f.Fuzz(func(t *testing.T, ops []byte) {
		in := input(ops)
		s := mmio.State{Status: in.u32(), ISR: in.u32(), Features: in.u64()}
		for range in.u8() % 4 {
			ready := in.u8()&1 != 0
			q := in.queue()
			q.Ready, q.Next, q.Used = ready, in.u16(), in.u16()
			s.Queues = append(s.Queues, q)
		}
		b := boards(t)
		tr, err := b.try(&s)
		if err != nil {
			if !errors.Is(err, mmio.ErrState) {
				t.Fatalf("New: got %v; want ErrState", err)
			}
			return
		}
		b.Transport = tr
		b.Restored()
		b.Resume()
		for len(in) > 0 {
			b.act(&in)
		}
		b.move()
	})
}
