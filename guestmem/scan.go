package guestmem

import (
	"bytes"
	"fmt"
)

const (
	// chunkPages is how much Next clears and looks at in one go: 4 MiB, so that a page is read soon after its mark is cleared.
	chunkPages = 1024
	// gulpPages is how much of the log is cleared in one go where nobody looks at it: 64 MiB, 0.2 ms for which a guest that faults waits.
	gulpPages = 1 << 14
)

var zeroPage [PageSize]byte

// Next fills runs with pages of the current round, from one chunk of 4 MiB, and returns how many it filled; 0 is the end of
// the round. What the guest writes to a page from now on is in the next round. In the first round there are no Hole runs:
// the target starts empty. After an error nothing is lost: the round may go on, or a new one be started.
//
// Precondition: len(runs) > 0.
func (t *Tracker) Next(runs []Run) (n int, err error) {
	if len(runs) == 0 {
		return 0, fmt.Errorf("guestmem: Next with no room for runs")
	}
	for {
		n, done, err := t.step(runs)
		if n > 0 || done || err != nil {
			return n, err
		}
	}
}

// step looks at the next chunk.
func (t *Tracker) step(runs []Run) (n int, done bool, err error) {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	if err := t.usable(); err != nil {
		return 0, false, err
	}
	for ; t.region < len(t.regions); t.region, t.page = t.region+1, 0 {
		r := &t.regions[t.region]
		if t.page = r.pending.nextSet(t.page, r.pages()); t.page < r.pages() {
			break
		}
	}
	if t.region == len(t.regions) {
		t.left = 0
		return 0, true, nil
	}
	r := &t.regions[t.region]
	start := t.page / chunkPages * chunkPages
	end := min(start+chunkPages, r.pages())
	if err := t.m.clearLog(r, start, end); err != nil {
		return 0, false, err
	}
	n, err = t.classify(r, end, runs)
	return n, false, err
}

// clearLog clears KVM's bits of pages [start, end), those that were seen and no others. Precondition: multiples of 64; mu is held.
func (m *Memory) clearLog(r *tracked, start, end uint64) error {
	if m.log == nil {
		return nil
	}
	return m.log.clear(r, start, end)
}

// classify fills runs from the pending pages of [t.page, end), and takes those out of pending. The log is clear there, so a
// page that changes from now on is marked again.
func (t *Tracker) classify(r *tracked, end uint64, runs []Run) (n int, err error) {
	holeEnd := uint64(0) // pages before it, from the current one on, are holes
	for page := t.page; ; {
		if page = r.pending.nextSet(page, end); page >= end {
			t.page = end
			return n, nil
		}
		t.page = page
		kind := Data
		switch {
		case r.present.get(page):
		case page < holeEnd:
			kind = Hole
		default:
			data, err := r.data(page)
			if err == nil && data == page {
				err = t.learn(r, page)
			}
			if err != nil && n > 0 {
				return n, nil // the caller gets the error on the next call, and these runs now
			}
			if err != nil {
				return 0, err
			}
			if data > page {
				holeEnd, kind = data, Hole
			}
		}
		if kind == Hole && t.rounds == 1 {
			stop := min(holeEnd, end)
			r.pending.dropRange(page, stop)
			page = stop
			continue
		}
		if kind == Data && bytes.Equal(r.host.bytes[page*PageSize:(page+1)*PageSize], zeroPage[:]) {
			kind = Zero
		}
		if n = r.add(runs, n, page, kind); n < 0 {
			return len(runs), nil
		}
		r.pending.drop(page)
		if t.left > 0 {
			t.left--
		}
		page++
	}
}

// learnPages bounds what learn looks at: 4 MiB.
const learnPages = 1024

// learn notes that page is data, and in the first round what is data behind it. Later a changed page must not cost more than itself.
func (t *Tracker) learn(r *tracked, page uint64) error {
	end := page + 1
	if t.rounds == 1 {
		known, err := r.dataUntil(end, min(end+learnPages, r.pages()))
		if err != nil {
			return err
		}
		end = known
	}
	r.present.setRange(page, end)
	return nil
}

// add appends a page to the last of n runs or to a new one, and returns the new n, or -1 when runs is full.
func (r *tracked) add(runs []Run, n int, page uint64, kind Kind) int {
	off := page * PageSize
	if n > 0 {
		if last := &runs[n-1]; last.Kind == kind && last.GPA+last.Size == r.GPA+off {
			last.Size += PageSize
			if kind == Data {
				start := last.GPA - r.GPA
				last.Bytes = r.host.bytes[start : start+last.Size : start+last.Size]
			}
			return n
		}
	}
	if n == len(runs) {
		return -1
	}
	runs[n] = Run{GPA: r.GPA + off, Kind: kind, Size: PageSize}
	if kind == Data {
		runs[n].Bytes = r.host.bytes[off : off+PageSize : off+PageSize]
	}
	return n + 1
}
