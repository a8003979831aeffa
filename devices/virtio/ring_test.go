package virtio_test

import (
	"encoding/binary"
	"testing"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

// Where the rings of a test lie, and how much memory there is.
const (
	descAt, availAt, usedAt = 0x1000, 0x81002, 0x92004
	memorySize              = 1 << 20
)

// Flags of descriptors and rings.
const (
	next, write, indirect        = 1, 2, 4
	noInterrupt, noNotify        = 1, 1
	withEvents                   = virtio.FeatureEventIdx | virtio.FeatureVersion1
	withIndirect                 = virtio.FeatureIndirect | virtio.FeatureVersion1
	withNothing           uint64 = virtio.FeatureVersion1
)

// desc is a descriptor.
type desc struct {
	gpa         uint64
	length      uint32
	flags, next uint16
}

// ring is a queue whose memory a test writes itself.
type ring struct {
	*virtio.Queue
	t          testing.TB
	mem        *virtiotest.Memory
	size       uint16
	avail      []byte
	used       []byte
	added      uint16
	interrupts int
}

// newRing has its indices at start.
func newRing(t testing.TB, size uint16, features uint64, start uint16) *ring {
	t.Helper()
	r := &ring{t: t, mem: virtiotest.NewMemory(t, memorySize), size: size, added: start}
	r.avail, r.used = r.mem.Bytes(availAt, 6+2*uint64(size)), r.mem.Bytes(usedAt, 6+8*uint64(size))
	put16(r.avail, 2, start)
	put16(r.used, 2, start)
	r.renew(r.mem, features, start, start)
	return r
}

// renew makes the queue anew, from a state.
func (r *ring) renew(m virtio.Memory, features uint64, next, used uint16) {
	r.t.Helper()
	s := virtio.QueueState{Size: r.size, Ready: true, Desc: descAt, Avail: availAt, Use: usedAt, Next: next, Used: used}
	q, err := virtio.NewQueue(m, s, features, nil, func() { r.interrupts++ })
	if err != nil {
		r.t.Fatal(err)
	}
	r.Queue = q
}

func put16(p []byte, at int, v uint16) { binary.LittleEndian.PutUint16(p[at:], v) }
func get16(p []byte, at int) uint16    { return binary.LittleEndian.Uint16(p[at:]) }

// put writes descriptors to the table at gpa.
func (r *ring) put(gpa uint64, first uint16, table ...desc) {
	p := r.mem.Bytes(gpa+uint64(first)*16, uint64(len(table))*16)
	for i, d := range table {
		binary.LittleEndian.PutUint64(p[16*i:], d.gpa)
		binary.LittleEndian.PutUint32(p[16*i+8:], d.length)
		put16(p, 16*i+12, d.flags)
		put16(p, 16*i+14, d.next)
	}
}

// add makes chains available.
func (r *ring) add(heads ...uint16) {
	for _, h := range heads {
		put16(r.avail, 4+2*int(r.added%r.size), h)
		r.added++
	}
	put16(r.avail, 2, r.added)
}

// pop takes a chain that must be there.
func (r *ring) pop() *virtio.Chain {
	r.t.Helper()
	c := new(virtio.Chain)
	if ok, err := r.Pop(c); !ok || err != nil {
		r.t.Fatalf("Pop: got %v, %v; want a chain", ok, err)
	}
	return c
}

// simple fills the descriptors with chains of one buffer to write.
func (r *ring) simple() {
	for i := range r.size {
		r.put(descAt, i, desc{gpa: 0xa0000 + 64*uint64(i%1024), length: 64, flags: write})
	}
}

func (r *ring) usedEvent(v uint16)  { put16(r.avail, 4+2*int(r.size), v) }
func (r *ring) availEvent() uint16  { return get16(r.used, 4+8*int(r.size)) }
func (r *ring) usedIndex() uint16   { return get16(r.used, 2) }
func (r *ring) usedFlags() uint16   { return get16(r.used, 0) }
func (r *ring) availFlags(v uint16) { put16(r.avail, 0, v) }
