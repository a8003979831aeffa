package guestmemtest

// fakeCPUs is how many vCPUs a VM with rings has; its writes come from one after the other.
const fakeCPUs = 2

// ring is what a vCPU has logged.
type ring struct {
	entries   []entry
	collected int // of entries, from the first
}

type entry struct {
	slot uint32
	page uint64
}

// push logs that the vCPU whose turn it is writes a page, if that is protected. One whose ring is full empties it first, as its thread does.
// Precondition: mu is held; it is not while the ring is emptied.
func (v *VM) push(id uint32, page uint64) error {
	for {
		s := v.slots[id]
		if s.log == nil || s.log[page/64]&(1<<(page%64)) != 0 {
			return nil
		}
		cpu := v.cpu
		r := &v.rings[cpu]
		if len(r.entries) < v.RingEntries {
			r.entries = append(r.entries, entry{id, page})
			return nil
		}
		v.mu.Unlock()
		err := v.full.Collect(cpu)
		v.mu.Lock()
		if err != nil {
			return err
		}
	}
}

// CollectDirty implements guestmem.RingVM.
func (v *VM) CollectDirty(cpu int, page func(slot uint32, page uint64)) int {
	v.hook()
	defer v.hook()
	v.mu.Lock()
	defer v.mu.Unlock()
	r := &v.rings[cpu]
	fresh := r.entries[r.collected:]
	r.collected = len(r.entries)
	for _, e := range fresh {
		page(e.slot, e.page)
	}
	return len(fresh)
}

// ResetDirtyRings implements guestmem.RingVM.
func (v *VM) ResetDirtyRings() (whole bool, err error) {
	if err := v.fail("ResetDirtyRings"); err != nil {
		return false, err
	}
	whole = v.Tear == nil || !v.Tear()
	v.hook()
	defer v.hook()
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range v.rings {
		r := &v.rings[i]
		for _, e := range r.entries[:r.collected] {
			if s := v.slots[e.slot]; whole && s != nil && s.log != nil {
				s.log[e.page/64] &^= 1 << (e.page % 64)
			}
		}
		r.entries = r.entries[:copy(r.entries, r.entries[r.collected:])]
		r.collected = 0
	}
	return whole, nil
}
