package guestmem

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Rings are the dirty rings of a VM: each vCPU logs the pages that it writes in its own, and stands still while that is full, until
// Collect has made room.
//
// A page is taken from a ring, then protected again, and only then marked as dirty: by the same marks as our own writes. So a mark
// always means that the next write will be logged, and a tracker that takes it before it reads the page misses nothing.
type Rings struct {
	vm      RingVM
	regions []*region

	mu    sync.Mutex    // guards taken and cpu; held while rings are emptied and reset
	taken [][]takenPage // by vCPU: out of its ring, not known to be protected again yet
	cpu   int           // whose ring is being emptied
	take  func(slot uint32, page uint64)

	logged []atomic.Uint64 // by vCPU
}

type takenPage struct {
	slot uint32
	page uint64
}

// AttachRings is Attach for a VM with dirty rings for that many vCPUs. Error: ErrAttached, or the VM's.
func (m *Memory) AttachRings(vm RingVM, cpus int) (*Rings, error) {
	l := &Rings{vm: vm, regions: m.regions, taken: make([][]takenPage, cpus), logged: make([]atomic.Uint64, cpus)}
	l.take = func(slot uint32, page uint64) {
		l.taken[l.cpu] = append(l.taken[l.cpu], takenPage{slot, page})
	}
	if err := m.attach(vm, l); err != nil {
		return nil, err
	}
	return l, nil
}

// Collect empties the ring of one vCPU and returns how many pages it has dirtied since the last time; one that is dirty already does not
// count. It is for the vCPU's own thread, whose ring is full or who wants to know, and waits for no tracker's work but that on rings:
// about 1 us a page. After an error nothing is lost, but there may be no room.
func (l *Rings) Collect(cpu int) (pages uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.logged[cpu].Load()
	l.empty(cpu)
	err = l.protect()
	return l.logged[cpu].Load() - before, err
}

// Logged is how many pages a vCPU has dirtied while it was logged, as far as they were taken from its ring, by a tracker or by Collect.
func (l *Rings) Logged(cpu int) uint64 { return l.logged[cpu].Load() }

// harvest empties all rings.
func (l *Rings) harvest([]tracked) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for cpu := range l.taken {
		l.empty(cpu)
	}
	return l.protect()
}

// clear has nothing to do: what was harvested is protected already.
func (l *Rings) clear(*tracked, uint64, uint64) error { return nil }

// empty takes all that is in a ring. Precondition: mu is held.
func (l *Rings) empty(cpu int) {
	l.cpu = cpu
	l.vm.CollectDirty(cpu, l.take)
}

// protect has all that was taken protected again, and then marks it. Precondition: mu is held.
func (l *Rings) protect() error {
	n := 0
	for _, pages := range l.taken {
		n += len(pages)
	}
	if n == 0 {
		return nil
	}
	if err := l.vm.ResetDirtyRings(); err != nil {
		return fmt.Errorf("reset the dirty rings: %w", err)
	}
	for cpu, pages := range l.taken {
		fresh := uint64(0)
		for _, p := range pages {
			if p.slot < uint32(len(l.regions)) && p.page < l.regions[p.slot].pages() && l.regions[p.slot].own.set(p.page) {
				fresh++
			}
		}
		l.logged[cpu].Add(fresh)
		l.taken[cpu] = pages[:0]
	}
	return nil
}
