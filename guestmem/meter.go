package guestmem

import (
	"errors"
	"slices"
)

// Meter counts the pages that change, without anybody reading them. It is used by one goroutine.
type Meter struct {
	t     *Tracker
	rings *Rings // nil: nobody knows which vCPU writes
	last  []uint64
}

// Meter starts KVM's dirty log and counts from now on. It takes the place of a Tracker. Errors: as those of Track.
func (m *Memory) Meter() (*Meter, error) {
	t, err := m.Track()
	if err != nil {
		return nil, err
	}
	mt := &Meter{t: t}
	mt.rings, _ = m.log.(*Rings)
	if _, _, err := mt.Count(); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return mt, nil
}

// Count returns how many pages have changed since the last call, or since the log was started, by the guest or by a device; a page counts once. byCPU
// says how many of them each vCPU was the first to dirty; it is nil without dirty rings.
func (mt *Meter) Count() (pages uint64, byCPU []uint64, err error) {
	if pages, err = mt.t.Harvest(); err != nil {
		return 0, nil, err
	}
	if err := mt.t.drop(); err != nil {
		return 0, nil, err
	}
	if mt.rings == nil {
		return pages, nil, nil
	}
	now := mt.rings.Dirtied()
	byCPU = slices.Clone(now)
	for i, before := range mt.last {
		byCPU[i] -= before
	}
	mt.last = now
	return pages, byCPU, nil
}

// Close stops the log. Calling it again does nothing.
func (mt *Meter) Close() error { return mt.t.Close() }

// drop ends a round without looking at its pages.
func (t *Tracker) drop() error {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	if err := t.usable(); err != nil {
		return err
	}
	for i := range t.regions {
		r := &t.regions[i]
		if t.m.log != nil {
			if err := clearAll(t.m.log, r); err != nil {
				return err
			}
		}
		clear(r.pending)
	}
	t.left = 0
	return nil
}
