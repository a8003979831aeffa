package guestmem

import (
	"errors"
	"fmt"
	"math/bits"
)

// Tracker yields the pages that changed, in rounds: Harvest starts one, Next hands it out. It is used by one goroutine.
type Tracker struct {
	m        *Memory
	regions  []tracked
	rounds   int
	closed   bool
	watching bool // Sample counts

	// region and page are where Next goes on.
	region int
	page   uint64
	left   uint64 // pages of this round not yet yielded; in the first round an estimate
}

// tracked is a region as its tracker sees it.
type tracked struct {
	*region
	pending bitmap // to be yielded in this round
	// seen holds the bits that were read from KVM's log and are still set there: those that may be cleared. It is a
	// subset of pending. A bit that KVM sets later is not in it, so no change is lost.
	seen bitmap
	// vacant holds the holes of the first round that are holes still, as far as is known. See vacancy.go.
	vacant  bitmap
	written bitmap // pages that Sample has seen written; nil without Watch
}

// Track starts KVM's dirty log on every slot. Without a VM only our own writes are tracked. Errors: ErrTracking, ErrPulling,
// ErrClosed, or the VM's; then no log is left running.
func (m *Memory) Track() (*Tracker, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return nil, ErrClosed
	case m.tracker != nil:
		return nil, ErrTracking
	case m.pull.Load() != nil:
		return nil, ErrPulling
	}
	t := &Tracker{m: m, regions: make([]tracked, len(m.regions))}
	if m.log != nil {
		m.log.begin()
	}
	for i, r := range m.regions {
		if err := m.setLog(r, memLogDirtyPages); err != nil {
			return nil, errors.Join(err, m.stopLog(m.regions[:i]))
		}
		t.regions[i] = tracked{region: r, pending: newBitmap(r.pages()), seen: newBitmap(r.pages()), vacant: newBitmap(r.pages())}
		r.present = newBitmap(r.pages())
	}
	m.tracker = t
	return t, nil
}

// Close stops the log. The memory stays, and a later Track starts with everything pending, so no change is lost. Calling
// it again does nothing.
func (t *Tracker) Close() error {
	m := t.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	m.tracker = nil
	for _, r := range m.regions {
		r.present = nil
	}
	if m.closed {
		return nil // the VM went before the memory did
	}
	return m.stopLog(m.regions)
}

// setLog and stopLog want mu held.
func (m *Memory) setLog(r *region, flags uint32) error {
	if m.vm == nil {
		return nil
	}
	if err := m.vm.SetMemoryRegion(r.slot, flags, r.GPA, r.Size, r.guest.address); err != nil {
		return fmt.Errorf("switch the dirty log of slot %d: %w", r.slot, err)
	}
	return nil
}

func (m *Memory) stopLog(regions []*region) error {
	var errs []error
	for _, r := range regions {
		errs = append(errs, m.setLog(r, 0))
	}
	return errors.Join(errs...)
}

// Harvest starts a round with all that changed since its pages were last yielded, and returns their number. What the last round did
// not yield is in it too. The first round has every page, and the number is that of the data pages. After an error
// nothing is lost, and Harvest may be called again.
func (t *Tracker) Harvest() (pages uint64, err error) {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	if err := t.usable(); err != nil {
		return 0, err
	}
	if log := t.m.log; log != nil {
		err := log.harvest(t.regions)
		if errors.Is(err, errTorn) {
			err = t.renew()
		}
		if err != nil {
			return 0, err
		}
	}
	for _, r := range t.regions {
		r.takeOwn()
	}
	if t.rounds == 0 {
		for _, r := range t.regions {
			r.pending.setRange(0, r.pages())
			if err := r.vacate(); err != nil {
				return 0, err
			}
			n, err := r.dataPages()
			if err != nil {
				return 0, err
			}
			pages += n
		}
	} else {
		for _, r := range t.regions {
			for _, w := range r.pending {
				pages += uint64(bits.OnesCount64(w))
			}
		}
	}
	t.rounds++
	t.region, t.page, t.left = 0, 0, pages
	return pages, nil
}

// renew starts a log anew that has missed something: every page is dirty. Until that has succeeded Harvest tries again.
func (t *Tracker) renew() error {
	t.m.log.begin()
	for _, r := range t.regions {
		if err := errors.Join(t.m.setLog(r.region, 0), t.m.setLog(r.region, memLogDirtyPages)); err != nil {
			t.m.log.tear()
			return err
		}
		r.pending.setRange(0, r.pages())
	}
	return nil
}

// takeOwn merges what our own writes have marked into pending. The marks are dropped here, before the pages are read.
func (r *tracked) takeOwn() {
	for w := range r.own {
		if r.own[w].Load() != 0 {
			r.pending[w] |= r.own[w].Swap(0)
		}
	}
}

// Pending is the number of pages of this round that Next has not yielded. In the first round it is an estimate: the data
// pages counted at Harvest, less those yielded.
func (t *Tracker) Pending() uint64 {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	return t.left
}

// usable wants mu held.
func (t *Tracker) usable() error {
	if t.closed || t.m.closed {
		return ErrClosed
	}
	return nil
}
