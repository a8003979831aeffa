package virtiotest

import (
	"encoding/binary"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// Layout of a split virtqueue, VIRTIO 1.2 section 2.7.
const (
	descSize     = 16
	descNext     = 1
	descWrite    = 2
	descIndirect = 4

	ringHeader = 4
	availEntry = 2
	usedEntry  = 8
	eventSize  = 2

	noInterrupt = 1 // flags of the available ring
	noNotify    = 1 // flags of the used ring
)

// Queue is the driver's side of one queue. One goroutine at a time uses it.
type Queue struct {
	d                 *Driver
	index             int
	state             virtio.QueueState
	desc, avail, used []byte
	eventIdx          bool

	free       []uint16 // descriptors
	next       uint16   // of the available ring
	kicked     uint16   // next at the last Kick
	seen       uint16   // of the used ring
	inDevice   map[uint16]*Request
	done       []*Request // used, and not yet given to the test
	rung       chan struct{}
	interrupts atomic.Int64
}

func newQueue(d *Driver, index int, size uint16) *Queue {
	q := &Queue{d: d, index: index, rung: make(chan struct{}, 1), eventIdx: d.features&virtio.FeatureEventIdx != 0}
	n := uint64(size)
	descs, avail, used := n*descSize, ringHeader+n*availEntry+eventSize, ringHeader+n*usedEntry+eventSize
	q.state = virtio.QueueState{Size: size, Ready: true, Desc: d.mem.Alloc(descs), Avail: d.mem.Alloc(avail + 2), Use: d.mem.Alloc(used)}
	if index%2 == 1 {
		q.state.Avail += 2 // two bytes are all the alignment that it must have
	}
	q.desc, q.avail, q.used = d.mem.Bytes(q.state.Desc, descs), d.mem.Bytes(q.state.Avail, avail), d.mem.Bytes(q.state.Use, used)
	return q
}

// reset makes the queue an empty one.
func (q *Queue) reset() {
	clear(q.desc)
	clear(q.avail)
	clear(q.used)
	q.state.Next, q.state.Used = 0, 0
	q.next, q.kicked, q.seen = 0, 0, 0
	q.free = q.free[:0]
	for i := range q.state.Size {
		q.free = append(q.free, q.state.Size-1-i)
	}
	for _, r := range q.inDevice {
		r.release()
	}
	q.inDevice, q.done = make(map[uint16]*Request), nil
}

// Free is how many descriptors are not in use.
func (q *Queue) Free() int { return len(q.free) }

// State is where the queue lies, and where it began.
func (q *Queue) State() virtio.QueueState { return q.state }

// Interrupts is how many there were.
func (q *Queue) Interrupts() int { return int(q.interrupts.Load()) }

// Add makes a request available, without a kick: buffers with what the device
// is to read, then buffers of some sizes for it to write. It fails the test when
// there are not enough descriptors.
func (q *Queue) Add(out [][]byte, in ...int) *Request {
	q.d.t.Helper()
	r := &Request{q: q, checked: !q.d.o.Unchecked}
	for _, p := range out {
		s := Span{q.d.mem.Alloc(uint64(len(p))), uint64(len(p))}
		copy(q.d.mem.Bytes(s.GPA, s.Size), p)
		r.out = append(r.out, s)
		r.owned = append(r.owned, s)
	}
	for _, n := range in {
		s := Span{q.d.mem.Alloc(uint64(n)), uint64(n)}
		r.in = append(r.in, s)
		r.owned = append(r.owned, s)
		if r.checked {
			fill(q.d.mem.Bytes(s.GPA, s.Size))
		}
	}
	q.add(r)
	return r
}

// AddSpans is Add with buffers that the test has placed and filled.
func (q *Queue) AddSpans(out, in []Span) *Request {
	q.d.t.Helper()
	r := &Request{q: q, out: slices.Clone(out), in: slices.Clone(in)}
	q.add(r)
	return r
}

// add writes the descriptors of a request and makes it available.
func (q *Queue) add(r *Request) {
	q.d.t.Helper()
	descs := len(r.out) + len(r.in)
	for _, s := range r.in {
		q.d.mem.Clean(s.GPA, s.Size)
	}
	need, table := descs, q.desc
	indirect := q.d.o.Indirect && q.d.features&virtio.FeatureIndirect != 0
	if indirect {
		need = 1
	}
	if descs == 0 || need > len(q.free) {
		q.d.t.Fatalf("queue %d: a chain of %d buffers; %d descriptors are free", q.index, descs, len(q.free))
	}
	ids := slices.Clone(q.free[len(q.free)-need:])
	q.free = q.free[:len(q.free)-need]
	r.ids, r.head = ids, ids[0]
	if indirect {
		s := Span{q.d.mem.Alloc(uint64(descs) * descSize), uint64(descs) * descSize}
		r.owned = append(r.owned, s)
		putDesc(q.desc, ids[0], s, descIndirect, 0)
		table, ids = q.d.mem.Bytes(s.GPA, s.Size), make([]uint16, descs)
		for i := range ids {
			ids[i] = uint16(i)
		}
	}
	for i := range descs {
		var flags, next uint16
		s := Span{}
		if i < len(r.out) {
			s = r.out[i]
		} else {
			s, flags = r.in[i-len(r.out)], descWrite
		}
		if i < descs-1 {
			flags, next = flags|descNext, ids[i+1]
		}
		putDesc(table, ids[i], s, flags, next)
	}
	if q.inDevice[r.head] != nil {
		q.d.t.Fatalf("queue %d: descriptor %d is in use", q.index, r.head)
	}
	q.inDevice[r.head] = r
	binary.LittleEndian.PutUint16(q.avail[ringHeader+int(q.next%q.state.Size)*availEntry:], r.head)
	q.next++
	barrier()
	store16(q.avail, 2, q.next)
}

func putDesc(table []byte, id uint16, s Span, flags, next uint16) {
	d := table[int(id)*descSize:][:descSize]
	binary.LittleEndian.PutUint64(d, s.GPA)
	binary.LittleEndian.PutUint32(d[8:], uint32(s.Size))
	binary.LittleEndian.PutUint16(d[12:], flags)
	binary.LittleEndian.PutUint16(d[14:], next)
}

// Kick tells the device of what was added since the last Kick, unless it asked
// not to be told. It says whether it did.
func (q *Queue) Kick() bool {
	before := q.kicked
	q.kicked = q.next
	barrier()
	if q.eventIdx {
		event := load16(q.used, ringHeader+int(q.state.Size)*usedEntry)
		if q.next-event-1 >= q.next-before {
			return false
		}
	} else if load16(q.used, 0)&noNotify != 0 {
		return false
	}
	if q.d.o.Notify != nil {
		q.d.o.Notify(q.index)
	} else {
		q.d.kicks[q.index].Wake()
	}
	return true
}

// Send is Add and Kick.
func (q *Queue) Send(out [][]byte, in ...int) *Request {
	q.d.t.Helper()
	r := q.Add(out, in...)
	q.Kick()
	return r
}

// Do is Add, Kick and Wait: one request from its beginning to its end.
func (q *Queue) Do(out [][]byte, in ...int) []byte {
	q.d.t.Helper()
	return q.Wait(q.Send(out, in...))
}

// Poll returns the oldest request that the device has used and that was not
// returned before; nil if there is none.
func (q *Queue) Poll() *Request {
	q.d.t.Helper()
	q.collect()
	if len(q.done) == 0 {
		return nil
	}
	r := q.done[0]
	q.done = q.done[1:]
	return r
}

// Next is Poll that waits for an interrupt.
func (q *Queue) Next() *Request {
	q.d.t.Helper()
	var r *Request
	q.await(func() bool { r = q.Poll(); return r != nil })
	return r
}

// Wait returns what the device wrote, once it has used the request.
func (q *Queue) Wait(r *Request) []byte {
	q.d.t.Helper()
	q.await(func() bool { q.collect(); return r.Done })
	q.done = slices.DeleteFunc(q.done, func(o *Request) bool { return o == r })
	return r.Written
}

// await waits for interrupts until ok. Only they end the wait, as in a guest.
func (q *Queue) await(ok func() bool) {
	q.d.t.Helper()
	if ok() {
		return
	}
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		if q.eventIdx {
			store16(q.avail, ringHeader+int(q.state.Size)*availEntry, q.seen)
		}
		barrier() // the device must see the wish before we look for the last time
		wished := q.seen
		if ok() {
			return
		}
		if q.seen != wished {
			continue // something else was used meanwhile: the wish is for what is past
		}
		select {
		case <-q.rung:
		case <-q.d.failed:
			if !ok() {
				q.d.t.Fatalf("queue %d: the device needs a reset: %v", q.index, q.d.Failure())
			}
			return
		case <-deadline.C:
			lost := ok()
			q.d.t.Fatalf("queue %d: no interrupt in %v; used all the same: %v, in the device: %d, interrupts: %d",
				q.index, patience, lost, len(q.inDevice), q.Interrupts())
		}
	}
}

// collect takes what is in the used ring.
func (q *Queue) collect() {
	q.d.t.Helper()
	for index := load16(q.used, 2); q.seen != index; q.seen++ {
		slot := ringHeader + int(q.seen%q.state.Size)*usedEntry
		id, written := binary.LittleEndian.Uint32(q.used[slot:]), binary.LittleEndian.Uint32(q.used[slot+4:])
		r := q.inDevice[uint16(id)]
		if id > 0xffff || r == nil {
			q.d.t.Fatalf("queue %d: used entry %d is chain %d, which the device does not have", q.index, q.seen, id)
		}
		if !q.d.o.Unchecked && !q.d.mem.Dirty(q.state.Use+uint64(slot), usedEntry) {
			q.d.t.Errorf("queue %d: used entry %d was not marked dirty before the index moved", q.index, q.seen)
		}
		q.d.mem.Clean(q.state.Use+uint64(slot), usedEntry)
		delete(q.inDevice, uint16(id))
		q.free = append(q.free, r.ids...)
		r.finish(written)
		q.done = append(q.done, r)
	}
}

// interrupt is what the device raises.
func (q *Queue) interrupt() {
	if !q.d.active.Load() {
		q.d.t.Errorf("queue %d: an interrupt from a device that is at rest or stopped", q.index)
	}
	q.Interrupt()
}

// Interrupt wakes who waits for the device: for tests of what is between the
// device and its driver.
func (q *Queue) Interrupt() {
	q.interrupts.Add(1)
	select {
	case q.rung <- struct{}{}:
	default:
	}
}
