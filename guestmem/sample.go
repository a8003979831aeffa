package guestmem

import (
	"fmt"
	"math/bits"
)

// Watch has the log note from now on every page that the guest writes, also those that this round has not yielded yet:
// Sample counts them. Without it a log that begins with every bit set says nothing of a page before that page is yielded.
//
// Precondition: Harvest was called, Next was not.
func (t *Tracker) Watch() error {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	if err := t.usable(); err != nil {
		return err
	}
	for i := range t.regions {
		r := &t.regions[i]
		if t.m.mode == logNone || t.m.mode == logPlain {
			continue
		}
		if err := r.clearLog(t.m.vm, 0, r.pages()); err != nil {
			return err
		}
		r.written = newBitmap(r.pages())
	}
	return nil
}

// Sample is the number of pages that the guest has written since Watch. Those that the round has not yielded yet are cleared in
// the log again when they are, so that they are not sent twice. Where reading the log clears it, the number is 0.
func (t *Tracker) Sample() (pages uint64, err error) {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	if err := t.usable(); err != nil {
		return 0, err
	}
	for i := range t.regions {
		r := &t.regions[i]
		if r.written == nil {
			continue
		}
		if t.log == nil {
			t.log = newBitmap(r.pages())
		}
		if words := (r.pages() + 63) / 64; uint64(len(t.log)) < words {
			t.log = newBitmap(r.pages())
		}
		log := t.log[:len(r.written)]
		if err := t.m.vm.DirtyLog(r.slot, log); err != nil {
			return 0, fmt.Errorf("read the dirty log of slot %d: %w", r.slot, err)
		}
		for w, dirty := range log {
			r.seen[w] |= dirty & r.pending[w]
			r.written[w] |= dirty
			pages += uint64(bits.OnesCount64(r.written[w]))
		}
	}
	return pages, nil
}
