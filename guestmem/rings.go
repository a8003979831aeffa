package guestmem

import (
	"fmt"
	"slices"
	"sync"
)

// Rings are the dirty rings of a VM: each vCPU logs the pages that it writes in its own, and stands still while that is full, until
// Collect has made room.
//
// A page is taken from a ring, then protected again, and only then marked as dirty: by the same marks as our own writes. So a mark
// always means that the next write will be logged, and a tracker that takes it before it reads the page misses nothing.
type Rings struct {
	vm      RingVM
	regions []*region

	mu    sync.Mutex    // guards all below; held while rings are emptied and reset
	taken [][]takenPage // by vCPU: out of its ring, not known to be protected again yet
	torn  bool          // pages may have been left unprotected, since the log was switched on
	open  int           // entries taken since the last reset
	cpu   int           // whose ring is being emptied
	take  func(slot uint32, page uint64)

	written, dirtied []uint64 // by vCPU: entries seen, and pages that were not dirty before
}

type takenPage struct{ slot, page uint32 }

// AttachRings is Attach for a VM with a dirty ring of that many entries for each of its vCPUs. Error: ErrAttached, or the VM's.
func (m *Memory) AttachRings(vm RingVM, cpus, entries int) (*Rings, error) {
	l := &Rings{vm: vm, regions: m.regions, taken: make([][]takenPage, cpus), written: make([]uint64, cpus), dirtied: make([]uint64, cpus)}
	for cpu := range l.taken {
		l.taken[cpu] = make([]takenPage, 0, entries) // memory that is not touched before it is needed
	}
	l.take = func(slot uint32, page uint64) {
		if slot < uint32(len(l.regions)) && page < l.regions[slot].pages() {
			l.taken[l.cpu] = append(l.taken[l.cpu], takenPage{slot, uint32(page)})
		}
	}
	if err := m.attach(vm, l); err != nil {
		return nil, err
	}
	return l, nil
}

// Collect makes room in the ring of one vCPU: it is for the vCPU's own thread when that is full, and waits for no tracker's work but that on
// rings. It takes about 1 us a page. After an error nothing is lost, but there may be no room.
func (l *Rings) Collect(cpu int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.empty(cpu)
	return l.protect()
}

// Written is how many entries a vCPU's ring has had. A page that it writes again may or may not count again. It makes no room.
func (l *Rings) Written(cpu int) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.empty(cpu)
	return l.written[cpu]
}

// Dirtied is how many pages each vCPU has dirtied, as of the latest harvest or Collect; one that was dirty already is not counted.
func (l *Rings) Dirtied() []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.dirtied)
}

// harvest empties all rings.
func (l *Rings) harvest([]tracked) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for cpu := range l.taken {
		l.empty(cpu)
	}
	if err := l.protect(); err != nil {
		return err
	}
	if l.torn {
		return errTorn
	}
	return nil
}

// begin is called before the log is switched on, which protects every page.
func (l *Rings) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.torn = false
}

func (l *Rings) tear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.torn = true
}

// clear has nothing to do: what was harvested is protected already.
func (l *Rings) clear(*tracked, uint64, uint64) error { return nil }

// watch has nothing to do: what is written is in the rings.
func (l *Rings) watch([]tracked) (bool, error) { return true, nil }

// sample does not have the pages protected: a page need be seen once only.
func (l *Rings) sample(regions []tracked) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for cpu := range l.taken {
		l.empty(cpu)
		for _, p := range l.taken[cpu] {
			regions[p.slot].written.set(uint64(p.page))
		}
	}
	for _, r := range regions {
		for w := range r.own {
			r.written[w] |= r.own[w].Load()
		}
	}
	return nil
}

// empty takes all that is in a ring. Precondition: mu is held.
func (l *Rings) empty(cpu int) {
	l.cpu = cpu
	n := l.vm.CollectDirty(cpu, l.take)
	l.written[cpu] += uint64(n)
	l.open += n
}

// protect has all that was taken protected again, and then marks it. Precondition: mu is held.
func (l *Rings) protect() error {
	if l.open == 0 {
		return nil
	}
	whole, err := l.vm.ResetDirtyRings()
	if err != nil {
		return fmt.Errorf("reset the dirty rings: %w", err)
	}
	l.torn = l.torn || !whole
	l.open = 0
	for cpu, pages := range l.taken {
		for _, p := range pages {
			if l.regions[p.slot].own.set(uint64(p.page)) {
				l.dirtied[cpu]++
			}
		}
		l.taken[cpu] = pages[:0]
	}
	return nil
}
