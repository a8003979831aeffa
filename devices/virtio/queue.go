package virtio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/ferryvmm/ferry/guestmem"
)

// MaxQueueSize is the most descriptors that a queue can have, section 2.7.
const MaxQueueSize = 1 << 15

// Flags of the rings, sections 2.7.6 and 2.7.8.
const (
	availNoInterrupt = 1
	usedNoNotify     = 1
)

// Layout of the rings, in bytes: flags and index of 16 bits, the ring, an event index.
const (
	ringHeader = 4
	availEntry = 2
	usedEntry  = 8
	eventSize  = 2
)

// QueueState is where a queue is and how far it has come. It is both what a
// driver configures and what is saved: a queue at rest holds no request.
type QueueState struct {
	Size             uint16
	Ready            bool
	Desc, Avail, Use uint64 // guest-physical addresses of the descriptors and of the two rings
	Next             uint16 // of the available ring: requests before it are done, section 2.7.6
	Used             uint16 // index of the used ring
}

// Check tells whether the device can work with the queue.
func (s QueueState) Check(largest uint16) error {
	if s.Size == 0 || s.Size > largest || s.Size&(s.Size-1) != 0 {
		return fmt.Errorf("%w: queue of %d descriptors; at most %d, a power of two", ErrDriver, s.Size, largest)
	}
	if s.Desc%16 != 0 || s.Avail%2 != 0 || s.Use%4 != 0 {
		return fmt.Errorf("%w: queue at %#x, %#x, %#x is not aligned", ErrDriver, s.Desc, s.Avail, s.Use)
	}
	return nil
}

// Queue is a split virtqueue, section 2.7. One goroutine at a time uses it.
type Queue struct {
	mem               Memory
	state             QueueState
	size              uint16
	desc, avail, used []byte // views of the rings, once they are used
	indirect          bool
	eventIdx          bool
	kick              *Kick
	interrupt         func()

	next, use uint16 // positions in the rings, of which state knows those at the start
	published uint16 // used index that the driver knows
	told      bool   // published was followed by a decision about an interrupt
	flags     uint16 // of the used ring
	fence     uint32
	// interrupted says that the last look could not wait for guest memory: a Resume of the device lets it try again.
	interrupted bool
}

// NewQueue makes a queue of a state, whose rings must lie in guest memory.
// features are those that the driver accepted; interrupt tells it that requests
// were used. It looks at no memory: a guest that has just moved here may still
// miss it. Errors are ErrDriver.
func NewQueue(m Memory, s QueueState, features uint64, kick *Kick, interrupt func()) (*Queue, error) {
	if err := s.Check(MaxQueueSize); err != nil {
		return nil, err
	}
	q := &Queue{
		mem: m, state: s, size: s.Size, kick: kick, interrupt: interrupt,
		indirect: features&FeatureIndirect != 0, eventIdx: features&FeatureEventIdx != 0,
		next: s.Next, use: s.Used, published: s.Used,
	}
	for _, r := range q.rings() {
		if err := m.Check(r.gpa, r.size); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrDriver, r.name, err)
		}
	}
	return q, nil
}

// ring is a part of a queue in guest memory.
type ring struct {
	name      string
	gpa, size uint64
	view      *[]byte
}

func (q *Queue) rings() [3]ring {
	n := uint64(q.size)
	return [3]ring{
		{"descriptors", q.state.Desc, n * descSize, &q.desc},
		{"available ring", q.state.Avail, ringHeader + n*availEntry + eventSize, &q.avail},
		{"used ring", q.state.Use, ringHeader + n*usedEntry + eventSize, &q.used},
	}
}

// open takes the views of the rings, if that has not been done. It is false when
// that has to wait for a Resume.
func (q *Queue) open() (bool, error) {
	if q.used != nil {
		return true, nil
	}
	for _, r := range q.rings() { // the used ring is last
		view, err := q.mem.View(r.gpa, r.size)
		if errors.Is(err, guestmem.ErrInterrupted) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("%w: %s: %w", ErrDriver, r.name, err)
		}
		*r.view = view
	}
	return true, nil
}

// State is where the queue is now. Precondition: every chain that was popped was
// pushed and published.
func (q *Queue) State() QueueState {
	s := q.state
	s.Next, s.Used = q.next, q.published
	return s
}

// Size is the number of descriptors.
func (q *Queue) Size() uint16 { return q.size }

// Kick is what the driver rings.
func (q *Queue) Kick() *Kick { return q.kick }

// Available is the number of requests that wait; 0 if looking was interrupted.
// The error is ErrDriver.
func (q *Queue) Available() (uint16, error) {
	opened, err := q.open()
	if q.interrupted = !opened; !opened {
		return 0, err
	}
	n := load16(q.avail, 2) - q.next
	if n > q.size {
		return 0, fmt.Errorf("%w: available index is %d ahead in a queue of %d", ErrDriver, n, q.size)
	}
	return n, nil
}

// Pop takes the next request, if there is one, and waits for guest memory that is
// still on another host. When that is interrupted it takes nothing: the request
// is there after the next Resume. After an error, which is ErrDriver, the queue
// is of no more use.
func (q *Queue) Pop(c *Chain) (bool, error) {
	n, err := q.Available()
	if n == 0 || err != nil {
		return false, err
	}
	slot := int(q.next%q.size)*availEntry + ringHeader
	err = q.walk(binary.LittleEndian.Uint16(q.avail[slot:]), c)
	if q.interrupted = errors.Is(err, guestmem.ErrInterrupted); q.interrupted {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	q.next++
	return true, nil
}

// Undo gives back the last n requests that were popped, as if they had not been.
// Precondition: none of them, and none behind them, was pushed.
func (q *Queue) Undo(n int) { q.next -= uint16(n) }

// Written notes that the first written bytes of a chain's writable buffers were
// written. It is for a chain that is given back all the same: Push does it too.
func (q *Queue) Written(c *Chain, written uint64) {
	for _, b := range c.Writable {
		if written == 0 {
			break
		}
		n := min(written, uint64(len(b.Bytes)))
		q.mem.MarkDirty(b.GPA, n)
		written -= n
	}
}

// Push says that a request is done, and that the first written bytes of its
// writable buffers were written. The driver learns of it with Publish.
func (q *Queue) Push(c *Chain, written uint32) {
	q.Written(c, uint64(written))
	slot := int(q.use%q.size)*usedEntry + ringHeader
	binary.LittleEndian.PutUint32(q.used[slot:], uint32(c.Head))
	binary.LittleEndian.PutUint32(q.used[slot+4:], written)
	q.mem.MarkDirty(q.state.Use+uint64(slot), usedEntry)
	q.use++
}

// Publish tells the driver of what was pushed, with an interrupt if it wants
// one. One Publish for many pushes is cheaper.
func (q *Queue) Publish() {
	if q.use == q.published {
		return
	}
	before := q.published
	q.published = q.use
	q.storeUsed()
	q.barrier() // the index must be seen before we look whether somebody sleeps
	if q.wantsInterrupt(before) {
		q.interrupt()
	}
}

// wantsInterrupt decides as section 2.7.7 and 2.7.10 say.
func (q *Queue) wantsInterrupt(before uint16) bool {
	if !q.eventIdx {
		return load16(q.avail, 0)&availNoInterrupt == 0
	}
	if !q.told { // what the driver was told before is not known here
		q.told = true
		return true
	}
	event := load16(q.avail, ringHeader+int(q.size)*availEntry)
	return q.published-event-1 < q.published-before
}

// WantKicks asks the driver to kick when it adds a request, and tells whether
// there is one already: then no kick may come for it.
func (q *Queue) WantKicks() (more bool) {
	if opened, err := q.open(); q.interrupted || !opened {
		return err != nil // the next Pop says it
	}
	if q.eventIdx {
		at := ringHeader + int(q.size)*usedEntry
		store16(q.used, at, q.next)
		q.mem.MarkDirty(q.state.Use+uint64(at), eventSize)
	} else {
		q.flags = 0
		q.storeUsed() // always: after a move the guest's memory may hold another wish
	}
	q.barrier() // our wish must be seen before we look for the last time
	return load16(q.avail, 2) != q.next
}

// NoKicks tells the driver that kicks are not needed: its requests are looked
// for. With event indices there is nothing to say.
func (q *Queue) NoKicks() {
	if opened, _ := q.open(); opened && !q.eventIdx && q.flags == 0 {
		q.flags = usedNoNotify
		q.storeUsed()
	}
}

// storeUsed writes flags and index of the used ring at once.
func (q *Queue) storeUsed() {
	store32(q.used, 0, uint32(q.flags)|uint32(q.published)<<16)
	q.mem.MarkDirty(q.state.Use, ringHeader)
}

// barrier keeps the loads behind it from being done before the stores ahead of
// it: the one reordering that x86 does.
func (q *Queue) barrier() { atomic.AddUint32(&q.fence, 1) }
