package net

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// Bounds of a step, so that a pause need not wait long for one.
const (
	batchPackets = 64
	batchBytes   = 256 << 10
)

// maxPieces bounds the buffers in the window: with those of one more chain, and
// one that catches what is too long, they go into one system call (UIO_MAXIOV).
const maxPieces = 1024 - queueSize - 1

// receiver moves packets from a queue of the tap to a receive queue.
//
// Its window are chains that were popped before there is a packet for them:
// enough for the largest. They stay popped from packet to packet, and are given
// back when the device rests.
type receiver struct {
	tap       *socket
	queue     *virtio.Queue
	fail      func(error) // the driver broke the rules
	lost      func(error) // the tap is gone
	backlog   *backlog    // what comes before the tap's
	pair      int         // number of this one
	inspector Inspector   // nil: none
	head      []byte      // for what it is to see, behind the header
	mergeable bool
	largest   int // bytes of the largest packet that may come, with its header
	expected  int // … that is expected after the one before

	chains       [queueSize]virtio.Chain // a ring: the window is in use
	first, count int                     // the window
	room, pieces int                     // bytes and buffers in it
	vector       vector
	spill        []byte // maxPacket bytes and one, for packets that the window may not hold
	held         int    // bytes in spill: a packet that waits for buffers; 0: none

	starved bool // wait for the driver, not for the tap
	barred  bool // wait for neither
	ended   bool // nothing can be done before a reset

	packets, bytes, drops, refused atomic.Uint64
}

func newReceiver(tap *socket, b *backlog, pair int) *receiver {
	return &receiver{tap: tap, backlog: b, pair: pair, vector: make(vector, 0, 1024), spill: make([]byte, maxPacket+1)}
}

// inspectWith has it ask i, if that is not nil.
func (r *receiver) inspectWith(i Inspector) {
	if r.inspector = i; i != nil {
		r.head = make([]byte, headerSize+headSize)
	}
}

// start gives it its driver. Precondition: it is at rest, with an empty window.
func (r *receiver) start(q *virtio.Queue, d virtio.Driver, mtu int) {
	r.queue, r.fail = q, d.Transport.Fail
	r.mergeable = d.Has(featureMergeable)
	r.largest = headerSize + ethernetSize + mtu
	if d.Features&(featureGuestTSO4|featureGuestTSO6) != 0 {
		r.largest = maxPacket - vlanSize // a tag and the longest of packets do not go together
	}
	r.expected, r.starved, r.ended = usual, false, false
}

// step moves packets until there are none, or no buffers for them.
func (r *receiver) step() (more bool) {
	if r.ended {
		return false
	}
	r.starved, r.barred = false, false
	r.queue.NoKicks()
	limit := r.bytes.Load() + batchBytes
	for n := 0; n < batchPackets && r.bytes.Load() < limit; n++ {
		if err := r.fill(); err != nil {
			r.ended = true
			r.fail(fmt.Errorf("receive queue: %w", err))
			return false
		}
		if r.count == 0 || r.held > r.room && !r.full() {
			r.starved = true
			break
		}
		if !r.receive() {
			r.queue.Publish()
			return false
		}
	}
	r.queue.Publish()
	return !r.starved || r.queue.WantKicks()
}

// fill pops chains until the largest packet fits.
func (r *receiver) fill() error {
	for r.room < r.largest && !r.full() {
		c := &r.chains[(r.first+r.count)%queueSize]
		ok, err := r.queue.Pop(c)
		if !ok || err != nil {
			return err
		}
		r.count++
		n := virtio.Len(c.Writable)
		if n < headerSize || len(c.Readable) > 0 {
			return fmt.Errorf("%w: a chain of %d bytes to write and %d buffers to read", virtio.ErrDriver, n, len(c.Readable))
		}
		r.room += int(n)
		r.pieces += len(c.Writable)
	}
	return nil
}

// full tells whether the window cannot grow, however small it is.
func (r *receiver) full() bool {
	return r.count > 0 && !r.mergeable || r.count == int(r.queue.Size()) || r.pieces >= maxPieces
}

// receive takes one packet: into the window if any that may come fits, else by
// way of the spill, so that one that does not fit is not lost. It is false when
// there is none.
func (r *receiver) receive() bool {
	if r.held > 0 {
		return r.place()
	}
	n, hold := r.backlog.next(r.pair, r.spill)
	if r.barred = hold; hold {
		return false
	}
	if n > 0 {
		return r.keep(n)
	}
	v, chains, cover := r.vector[:0], 0, 0 // of the window
	if r.room >= r.largest {
		for cover < r.expected && chains < r.count {
			for _, b := range r.chains[(r.first+chains)%queueSize].Writable {
				v = v.add(b.Bytes)
				cover += len(b.Bytes)
			}
			chains++
		}
	}
	n, err := v.add(r.spill).readv(r.tap.fd)
	if errors.Is(err, unix.EAGAIN) {
		if r.tap.broken == nil {
			return false
		}
		err = r.tap.broken
	}
	switch {
	case errors.Is(err, unix.EINVAL): // a packet that the header cannot describe
		r.drop(chains)
		return true
	case err != nil, n < headerSize: // the tap was removed, or was never one
		r.ended = true
		r.lost(err)
		return false
	}
	r.expected = usual
	if n > usual { // large packets come in rows
		r.expected = maxPacket
	}
	switch {
	case n <= cover:
		r.give(n)
	case n-cover > maxPacket, cover > 0 && n > r.room:
		r.drop(chains)
	case cover > 0:
		r.scatter(r.spill[:n-cover], chains)
		r.give(n)
	default:
		return r.keep(n)
	}
	return true
}

// give gives the driver a packet of n bytes that is in the window, if it may have it.
func (r *receiver) give(n int) {
	if r.inspector != nil && n >= headerSize+ethernetSize {
		seen := 0
		for chain := 0; seen < min(n, len(r.head)); chain++ {
			seen += gather(r.head[seen:], r.chains[(r.first+chain)%queueSize].Writable)
		}
		if !inspect(r.inspector, r.head[:min(n, seen)], n) {
			r.refused.Add(1)
			r.wrote(r.span(n))
			return
		}
	}
	r.push(n)
}

// keep is for a packet of n bytes in the spill.
func (r *receiver) keep(n int) bool {
	if r.inspector != nil && n >= headerSize+ethernetSize && !inspect(r.inspector, r.spill[:n], n) {
		r.refused.Add(1)
		return true
	}
	r.held = n
	return r.place()
}

// usual is the size, in bytes, up to which a packet is read into the window at
// once even if the one before it was small. Room for more costs the kernel more
// than what it does for a small packet; what comes all the same is copied.
const usual = 4096

// scatter copies to the window, from a chain on.
func (r *receiver) scatter(p []byte, chain int) {
	for ; len(p) > 0; chain++ {
		for _, b := range r.chains[(r.first+chain)%queueSize].Writable {
			p = p[copy(b.Bytes, p):]
		}
	}
}

// drop counts a packet that cannot be given to the driver, and that may have
// left something in the first chains of the window.
func (r *receiver) drop(written int) {
	r.drops.Add(1)
	r.wrote(written)
}

// wrote is for chains of the window that stay there, with something in them.
func (r *receiver) wrote(chains int) {
	for i := range chains {
		c := &r.chains[(r.first+i)%queueSize]
		r.queue.Written(c, virtio.Len(c.Writable))
	}
}

// place puts the packet that is held into the window. It waits if the window
// can still grow, and is dropped if not.
func (r *receiver) place() bool {
	if r.held > r.room {
		if r.full() {
			r.held = 0
			r.drop(0)
		}
		return true
	}
	n := r.held
	r.scatter(r.spill[:n], 0)
	r.held = 0
	r.push(n)
	return true
}

// push gives the driver a packet of n bytes that is in the window.
func (r *receiver) push(n int) {
	used := r.span(n)
	var count [2]byte
	binary.LittleEndian.PutUint16(count[:], uint16(used))
	write(r.chains[r.first].Writable, countOffset, count[:])
	left := uint64(n)
	for range used {
		c := &r.chains[r.first]
		size := virtio.Len(c.Writable)
		r.queue.Push(c, uint32(min(left, size)))
		left -= min(left, size)
		r.first = (r.first + 1) % queueSize
		r.count--
		r.room -= int(size)
		r.pieces -= len(c.Writable)
	}
	r.packets.Add(1)
	r.bytes.Add(uint64(n - headerSize))
}

// span is how many chains of the window n bytes take.
func (r *receiver) span(n int) (chains int) {
	for left := uint64(n); left > 0; chains++ {
		left -= min(left, virtio.Len(r.chains[(r.first+chains)%queueSize].Writable))
	}
	return chains
}

// write copies p to an offset of what the buffers hold together.
func write(buffers []virtio.Buffer, offset int, p []byte) {
	for _, b := range buffers {
		if offset >= len(b.Bytes) {
			offset -= len(b.Bytes)
			continue
		}
		n := copy(b.Bytes[offset:], p)
		if p, offset = p[n:], 0; len(p) == 0 {
			return
		}
	}
}

// rest gives the window back. Precondition: the worker is at rest.
func (r *receiver) rest() {
	if r.count > 0 {
		r.queue.Undo(r.count)
	}
	r.first, r.count, r.room, r.pieces = 0, 0, 0, 0
}

// stop takes the driver away. Precondition: the worker has ended.
func (r *receiver) stop() {
	r.rest()
	r.held = 0
}

// discard takes away what the tap has queued by now, at most what its queue
// can hold several times over.
func (r *receiver) discard() {
	v := r.vector[:0].add(make([]byte, headerSize)) // the rest is cut off
	for range maxDiscard {
		if _, err := v.readv(r.tap.fd); err != nil && !errors.Is(err, unix.EINVAL) {
			return
		}
	}
}

// maxDiscard is well above the 500 packets that a tap queues.
const maxDiscard = 4096
