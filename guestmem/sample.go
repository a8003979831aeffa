package guestmem

import "math/bits"

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
	if t.m.log == nil {
		return nil
	}
	counts, err := t.m.log.watch(t.regions)
	if err != nil || !counts {
		return err
	}
	for i := range t.regions {
		t.regions[i].written = newBitmap(t.regions[i].pages())
	}
	t.watching = true
	return nil
}

// Sample is the number of pages that the guest has written since Watch. In a bitmap, those that the round has not yielded yet are cleared
// again when they are, so that they are not sent twice. Where reading the log clears it, the number is 0.
func (t *Tracker) Sample() (pages uint64, err error) {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	if err := t.usable(); err != nil {
		return 0, err
	}
	if !t.watching {
		return 0, nil
	}
	if err := t.m.log.sample(t.regions); err != nil {
		return 0, err
	}
	for _, r := range t.regions {
		for _, w := range r.written {
			pages += uint64(bits.OnesCount64(w))
		}
	}
	return pages, nil
}
