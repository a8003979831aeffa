package net

import (
	"sync"
	"sync/atomic"
)

// backlog are packets that the driver is to get before what is in the tap: they
// came while the guest stood still, here or at the host that it came from. They wait
// here while the driver has no buffers for them.
type backlog struct {
	// busy: there may be packets, or the tap is not to be read. Else receivers need no lock.
	busy atomic.Bool

	mu    sync.Mutex // guards what follows
	open  bool       // there is a driver
	inUse int        // pairs of queues
	lists [][][]byte // by pair
	room  budget
	held  bool // the tap is not to be read
}

func newBacklog(pairs int) *backlog { return &backlog{inUse: 1, lists: make([][][]byte, pairs)} }

// put adds a packet, which is the backlog's from here on. It is false if there are
// too many, or no driver.
func (b *backlog) put(pair int, packet []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open || !b.room.take(len(packet)) {
		return false
	}
	if pair < 0 || pair >= b.inUse {
		pair = 0
	}
	b.lists[pair] = append(b.lists[pair], packet)
	b.busy.Store(true)
	return true
}

// next copies the next packet of a pair. Where there is none, n is 0, and hold tells
// whether the tap is not to be read either.
func (b *backlog) next(pair int, p []byte) (n int, hold bool) {
	if !b.busy.Load() {
		return 0, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.lists[pair]
	if len(list) == 0 {
		return 0, b.held
	}
	n = copy(p, list[0])
	b.room.give(len(list[0]))
	list[0], b.lists[pair] = nil, list[1:]
	b.judge()
	return n, false
}

// hold has receivers leave the tap alone, or read it again.
func (b *backlog) hold(held bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = held
	b.judge()
}

// use gives the packets of pairs from n on, which are not in use, to the first.
func (b *backlog) use(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inUse = n
	for i := n; i < len(b.lists); i++ {
		b.lists[0] = append(b.lists[0], b.lists[i]...)
		b.lists[i] = nil
	}
}

// accept has it take packets for a driver.
func (b *backlog) accept() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open = true
}

// reset forgets everything: the driver has gone.
func (b *backlog) reset() {
	b.drain()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open, b.held = false, false
	b.judge()
}

// drain takes all packets out, each list in its order.
func (b *backlog) drain() (lists [][][]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	lists = b.lists
	b.lists, b.room = make([][][]byte, len(lists)), budget{}
	b.judge()
	return lists
}

// judge sets busy. Precondition: mu is held.
func (b *backlog) judge() { b.busy.Store(b.held || b.room.packets > 0) }
