package virtio_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

// smallMemory is that of a hostile guest; in its middle is a device's registers.
const (
	smallMemory      = 0x8000
	holeFrom, holeTo = 0x6000, 0x7000
)

// holed is memory with a hole.
type holed struct{ *virtiotest.Memory }

func (h holed) View(gpa, size uint64) ([]byte, error) {
	if err := h.Check(gpa, size); err != nil {
		return nil, err
	}
	return h.Memory.View(gpa, size)
}

func (h holed) Check(gpa, size uint64) error {
	if gpa < holeTo && (gpa >= holeFrom || size > holeFrom-gpa) {
		return virtiotest.ErrOutside
	}
	return h.Memory.Check(gpa, size)
}

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

// address is one in memory or near it, or any at all.
func (in *input) address() uint64 {
	if p := in.u16(); p != 0xffff {
		return uint64(p) * 2
	}
	return binary.LittleEndian.Uint64(in.bytes(8))
}

// hostile is a queue and the guest that it has.
type hostile struct {
	t       *testing.T
	mem     holed
	all     []byte // of memory
	before  []byte
	state   virtio.QueueState
	queue   *virtio.Queue
	feature uint64
	pending []*virtio.Chain // popped
}

func (h *hostile) renew() (err error) {
	h.queue, err = virtio.NewQueue(h.mem, h.state, h.feature, nil, func() {})
	return err
}

// do has the device do something, which may change nothing but the used ring.
func (h *hostile) do(f func(q *virtio.Queue)) {
	copy(h.before, h.all)
	f(h.queue)
	from, to := h.state.Use, h.state.Use+6+8*uint64(h.state.Size)
	if !bytes.Equal(h.before[:from], h.all[:from]) || !bytes.Equal(h.before[to:], h.all[to:]) {
		h.t.Fatalf("memory outside the used ring [%#x, %#x) was changed", from, to)
	}
}

// pop takes a chain, and looks whether it is bounded and memory.
func (h *hostile) pop(q *virtio.Queue) {
	c := new(virtio.Chain)
	ok, err := q.Pop(c)
	if ok == (err != nil) && ok || err != nil && !errors.Is(err, virtio.ErrDriver) {
		h.t.Fatalf("Pop: got %v, %v; want a chain, or none, or ErrDriver", ok, err)
	}
	if !ok {
		return
	}
	h.pending = append(h.pending, c)
	buffers := slices.Concat(c.Readable, c.Writable)
	if len(buffers) > int(h.state.Size) || virtio.Len(buffers) > 1<<32 {
		h.t.Fatalf("chain: got %d buffers, %d bytes; want at most %d, and 4 GiB", len(buffers), virtio.Len(buffers), h.state.Size)
	}
	for _, b := range buffers {
		view, err := h.mem.View(b.GPA, uint64(len(b.Bytes)))
		if err != nil || len(view) == 0 || &view[0] != &b.Bytes[0] || cap(b.Bytes) != len(b.Bytes) {
			h.t.Fatalf("buffer at %#x of %d bytes is not that memory: %v", b.GPA, len(b.Bytes), err)
		}
	}
}

// FuzzQueue has a guest place a queue anywhere, write anything to its memory, and
// change it while a device works.
func FuzzQueue(f *testing.F) {
	place := []byte{3, 3, 0x00, 0x08, 0x01, 0x18, 0x02, 0x20, 0, 0, 0, 0} // 8 descriptors at 0x1000, 0x3002, 0x4004
	good := []byte{
		0, 0x00, 0x08, 48, // three descriptors, the last of which is indirect
		0, 0x20, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1, 0, 1, 0,
		0, 0x30, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 2, 0, 0, 0,
		0, 0x50, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 4, 0, 0, 0,
		0, 0x00, 0x28, 16, 0, 0x30, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 2, 0, 0, 0, // its table
		0, 0x01, 0x18, 8, 0, 0, 2, 0, 0, 0, 2, 0, // the available ring
		1, 2, 3, 1, 5, 1, 2, 8, 3, 4, 6, 1,
	}
	f.Add(append(bytes.Clone(place), good...))
	f.Add([]byte{3, 3, 0xff, 0xff, 0xf0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x18, 0x02, 0x20}) // at the end of all addresses
	f.Add([]byte{1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 1, 0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 1, 2, 3}) // all rings in one place
	f.Add([]byte{0, 3, 0x00, 0x30, 0x00, 0x38, 0x00, 0x30, 0, 0, 0, 0})                                     // over the hole
	mem := holed{virtiotest.NewMemory(f, smallMemory)}
	all, before := mem.Bytes(0, smallMemory), make([]byte, smallMemory)
	f.Fuzz(func(t *testing.T, ops []byte) {
		in := input(ops)
		clear(all)
		h := &hostile{t: t, mem: mem, all: all, before: before}
		h.state.Size = 1 << (in.u8() % 16)
		h.feature = []uint64{withNothing, withEvents, withIndirect, withEvents | withIndirect}[in.u8()%4]
		h.state.Desc, h.state.Avail, h.state.Use = in.address(), in.address(), in.address()
		h.state.Next, h.state.Used = in.u16(), in.u16()
		if err := h.renew(); err != nil {
			if !errors.Is(err, virtio.ErrDriver) {
				t.Fatalf("NewQueue: got %v; want ErrDriver", err)
			}
			return
		}
		for len(in) > 0 {
			switch in.u8() % 7 {
			case 0:
				at := in.address() % smallMemory
				copy(h.all[at:], in.bytes(int(in.u8())))
			case 1:
				h.do(h.pop)
			case 2:
				if len(h.pending) > 0 {
					written := uint32(in.u8())
					h.do(func(q *virtio.Queue) { q.Push(h.pending[0], written) })
					h.pending = h.pending[1:]
				}
			case 3:
				h.do((*virtio.Queue).Publish)
			case 4:
				h.do(func(q *virtio.Queue) { q.WantKicks() })
			case 5:
				h.do((*virtio.Queue).NoKicks)
			case 6: // to rest, and on
				h.queue.Undo(len(h.pending))
				h.pending = nil
				h.do((*virtio.Queue).Publish)
				h.state = h.queue.State()
				if err := h.renew(); err != nil {
					t.Fatalf("the queue's own state: %v", err)
				}
			}
		}
	})
}
