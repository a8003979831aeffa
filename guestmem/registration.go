package guestmem

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Registrar makes memory known to what reads it by itself: io_uring's fixed buffers, or a network card's keys (RDMA). Its methods are called by whoever
// calls Acquire.
type Registrar interface {
	// Register makes p readable under a key. It pins p's pages.
	Register(key uint32, p []byte) error
	// Forget takes that back. Nothing reads p any more.
	Forget(key uint32) error
}

// Piece is registered memory, as one-sided transfers name it: bytes [Offset, Offset+Length) of what has the key.
type Piece struct {
	Key            uint32
	Offset, Length uint64
}

// MaxExtent is the most that is registered under one key, in bytes: what the kernel allows one buffer.
const MaxExtent = 1 << 30

// Registration registers extents of data as they are first sent. To register is to fault in and to pin: so no hole ever is, and before a hole is punched
// what has pages there is retired, for a pinned page outlives the punch, and would be sent with its old content. One goroutine calls its methods.
type Registration struct {
	m  *Memory
	by Registrar

	mu      sync.Mutex // guards all below
	idle    sync.Cond  // something was released
	extents []extent   // by key
	barred  int        // holes being punched: nothing is registered meanwhile
	closed  bool
}

// extent is what has a key.
type extent struct {
	region     *region // nil: the key is free
	first, end uint64  // pages
	generation uint64  // of the key: counts what it was given to
	retired    bool    // nothing more is sent from it
	flying     int     // pieces that are being sent
}

// Register begins to register memory with by, under keys below keys.
func (m *Memory) Register(by Registrar, keys uint32) *Registration {
	g := &Registration{m: m, by: by, extents: make([]extent, keys)}
	g.idle.L = &g.mu
	m.sharing.Lock()
	defer m.sharing.Unlock()
	m.registrations = append(m.registrations, g)
	return g
}

// Acquire returns the piece that p, a view of guest memory, is, and keeps it as it is until Release. What is not registered yet is, with what follows it:
// at most limit bytes up to the next hole. It is false where p is no guest memory, or the keys are used up, or a hole is being punched: send p another way. Errors: the
// Registrar's.
func (g *Registration) Acquire(p []byte, limit uint64) (Piece, bool, error) {
	for _, r := range g.m.regions {
		if off, ok := r.host.offset(p); ok {
			return g.acquire(r, off, uint64(len(p)), limit)
		}
	}
	return Piece{}, false, nil
}

func (g *Registration) acquire(r *region, off, size, limit uint64) (Piece, bool, error) {
	first, end := off/PageSize, (off+size+PageSize-1)/PageSize
	g.mu.Lock()
	defer g.mu.Unlock()
	free := -1
	for key := range g.extents {
		e := &g.extents[key]
		if e.region == nil {
			free = key
			continue
		}
		if e.retired && e.flying == 0 {
			if err := g.by.Forget(uint32(key)); err != nil {
				return Piece{}, false, err
			}
			*e = extent{generation: e.generation}
			free = key
			continue
		}
		if !e.retired && e.region == r && e.first <= first && end <= e.end {
			e.flying++
			return Piece{Key: uint32(key), Offset: off - e.first*PageSize, Length: size}, true, nil
		}
	}
	if free < 0 || g.barred > 0 || g.closed {
		return Piece{}, false, nil
	}
	// Nobody punches now: who does waits for mu first.
	stop, err := r.dataUntil(first, min(max(end, first+min(limit, MaxExtent)/PageSize), r.pages()))
	if err != nil || stop < end {
		return Piece{}, false, err
	}
	if stop-first > MaxExtent/PageSize {
		return Piece{}, false, nil
	}
	if err := g.by.Register(uint32(free), r.host.bytes[first*PageSize:stop*PageSize]); err != nil {
		return Piece{}, false, fmt.Errorf("register %d bytes of guest memory: %w", (stop-first)*PageSize, err)
	}
	e := &g.extents[free]
	*e = extent{region: r, first: first, end: stop, generation: e.generation + 1, flying: 1}
	return Piece{Key: uint32(free), Offset: off - first*PageSize, Length: size}, true, nil
}

// Hold keeps a piece that is acquired once more: each Hold wants a Release.
func (g *Registration) Hold(p Piece) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.extents[p.Key].flying++
}

// Release says that a piece is not read any more.
func (g *Registration) Release(p Piece) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	if g.extents[p.Key].flying--; g.extents[p.Key].flying == 0 {
		g.idle.Broadcast()
	}
}

// Close ends the registration, whatever is still being sent: the caller lets nobody take it for the guest's memory. The Registrar forgets by itself.
func (g *Registration) Close() {
	g.mu.Lock()
	g.closed = true
	g.idle.Broadcast()
	g.mu.Unlock()
	g.m.sharing.Lock()
	defer g.m.sharing.Unlock()
	g.m.registrations = slices.DeleteFunc(g.m.registrations, func(one *Registration) bool { return one == g })
}

// retireWithin is how long a hole waits for what is being sent from there: a peer that takes nothing is not to hold the guest up. What is still under way then
// brings the old bytes, and the hole, which is dirty, comes behind them.
const retireWithin = 50 * time.Millisecond

// retire ends the use of what is registered within a range of a region, waits until nothing of it is being sent, retireWithin at most, and lets nothing be
// registered until the function that it returns is called.
func (m *Memory) retire(r *region, off, size uint64) (punched func()) {
	m.sharing.Lock()
	all := slices.Clone(m.registrations)
	m.sharing.Unlock()
	for _, g := range all {
		g.retire(r, off/PageSize, (off+size)/PageSize)
	}
	return func() {
		for _, g := range all {
			g.mu.Lock()
			g.barred--
			g.mu.Unlock()
		}
	}
}

func (g *Registration) retire(r *region, first, end uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.barred++
	late := false
	timer := time.AfterFunc(retireWithin, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		late = true
		g.idle.Broadcast()
	})
	defer timer.Stop()
	for key := range g.extents {
		e := &g.extents[key]
		if e.region != r || e.first >= end || first >= e.end {
			continue
		}
		e.retired = true
		for generation := e.generation; e.flying > 0 && e.generation == generation && !g.closed && !late; {
			g.idle.Wait()
		}
	}
}
