package guestmem

import (
	"errors"
	"math/bits"

	"github.com/ferryvmm/ferry/internal/uffd"
)

// piece is how many pages are placed under a lock, and mapped at once: a page that a vCPU waits for must not wait long for
// its neighbours. It divides 64.
const piece = 16

// Fill places whole missing pages, and lets those who wait for them go on. Pages that are here already are dropped: a late
// copy never overwrites what the guest wrote since. It returns how many pages it has filled, also beside an error: ErrAlign,
// ErrOutside, ErrClosed, or the write's (no memory left), after which what was not filled is still missing.
func (p *Pull) Fill(gpa uint64, data []byte) (filled uint64, err error) {
	r, off, err := p.findPages(gpa, uint64(len(data)))
	if err != nil {
		return 0, err
	}
	if err := p.enter(); err != nil {
		return 0, err
	}
	defer p.life.RUnlock()
	p.mend.Do(func() { go p.mendTorn() }) // the guest has started, or will before long
	for len(data) > 0 {
		n := pieceSize(off, uint64(len(data)))
		got, err := p.place(r, off/PageSize, n/PageSize, data[:n])
		filled += uint64(bits.OnesCount64(got))
		if err := errors.Join(err, p.show(r, off/PageSize, got)); err != nil {
			return filled, err
		}
		data, off = data[n:], off+n
	}
	return filled, nil
}

// FillZero is Fill with zeros. It allocates nothing but what somebody waits for.
func (p *Pull) FillZero(gpa, size uint64) (filled uint64, err error) {
	r, off, err := p.findPages(gpa, size)
	if err != nil {
		return 0, err
	}
	if err := p.enter(); err != nil {
		return 0, err
	}
	defer p.life.RUnlock()
	p.mend.Do(func() { go p.mendTorn() })
	// No missing page becomes data but by being filled: from old on there are older copies, which must go.
	old, err := r.data(off / PageSize)
	if err != nil {
		return 0, err
	}
	for size > 0 {
		n := pieceSize(off, size)
		first, pages := off/PageSize, n/PageSize
		got, err := p.clear(r, first, pages, old < first+pages)
		filled += uint64(bits.OnesCount64(got))
		if err := errors.Join(err, p.showZeros(r, first, got)); err != nil {
			return filled, err
		}
		off, size = off+n, size-n
	}
	return filled, nil
}

// write is WriteAt's: it waits for missing pages that p covers in part, and fills those that it covers whole.
func (p *Pull) write(r *pulled, data []byte, off uint64) error {
	end := off + uint64(len(data))
	first, last := off/PageSize, (end+PageSize-1)/PageSize
	if r.received.nextClear(first, last) == last {
		return r.write(data, off)
	}
	if off%PageSize != 0 {
		if err := p.await(r, first, first+1); err != nil {
			return err
		}
	}
	if end%PageSize != 0 {
		if err := p.await(r, last-1, last); err != nil {
			return err
		}
	}
	if err := p.enter(); err != nil {
		return err
	}
	defer p.life.RUnlock()
	for len(data) > 0 {
		n := pieceSize(off, uint64(len(data)))
		first, last := off/PageSize, (off+n+PageSize-1)/PageSize
		got, err := p.overwrite(r, off, data[:n], first, last-first)
		if err := errors.Join(err, p.show(r, first, got)); err != nil {
			return err
		}
		data, off = data[n:], off+n
	}
	return nil
}

// pieceSize is how many of size bytes at off are in one piece.
func pieceSize(off, size uint64) uint64 { return min(size, piece*PageSize-off%(piece*PageSize)) }

// place writes those of n pages from first on, within one piece, that are missing. It returns them as bits.
func (p *Pull) place(r *pulled, first, n uint64, data []byte) (got uint64, err error) {
	mu := &p.placing[first/piece%uint64(len(p.placing))]
	mu.Lock()
	defer mu.Unlock()
	missing := r.missing(first, n)
	for at, count := range runs(missing) {
		if err := r.write(data[at*PageSize:(at+count)*PageSize], (first+at)*PageSize); err != nil {
			return got, err
		}
		got |= ones(at, count)
		p.arrive(r, first+at, count)
	}
	return got, nil
}

// clear is place with zeros; old says that there may be older copies.
func (p *Pull) clear(r *pulled, first, n uint64, old bool) (got uint64, err error) {
	mu := &p.placing[first/piece%uint64(len(p.placing))]
	mu.Lock()
	defer mu.Unlock()
	missing := r.missing(first, n)
	for at, count := range runs(missing) {
		if old {
			if err := r.punch((first+at)*PageSize, count*PageSize); err != nil {
				return got, err
			}
		}
		got |= ones(at, count)
		p.arrive(r, first+at, count)
	}
	return got, nil
}

// overwrite writes data, and fills the missing of the n pages from first on, of which it covers each whole.
func (p *Pull) overwrite(r *pulled, off uint64, data []byte, first, n uint64) (got uint64, err error) {
	mu := &p.placing[first/piece%uint64(len(p.placing))]
	mu.Lock()
	defer mu.Unlock()
	if err := r.write(data, off); err != nil {
		return 0, err
	}
	got = r.missing(first, n)
	for at, count := range runs(got) {
		p.arrive(r, first+at, count)
	}
	return got, nil
}

// missing returns which of n pages from first on are missing, as bits. Precondition: they are in one word.
func (r *pulled) missing(first, n uint64) uint64 {
	return ^r.received[first/64].Load() >> (first % 64) & ones(0, n)
}

// arrive notes pages as received. Precondition: they were missing, their bytes are there, and their placing lock is held.
func (p *Pull) arrive(r *pulled, first, n uint64) {
	r.received.setRange(first, first+n)
	if p.missing.Add(-int64(n)) == 0 {
		close(p.done)
	}
	p.waits.release(p)
}

// show maps pages that have arrived, and wakes who waits for them. Of a huge page it waits for the last piece.
func (p *Pull) show(r *pulled, first, got uint64) error {
	for at, count := range runs(got) {
		page, end := first+at, first+at+count
		if r.huge() {
			if page, end = r.whole(page, end); !r.here(page) {
				continue
			}
		}
		for page < end {
			done, err := p.fd.Continue(r.address(page), uintptr(end-page)*PageSize)
			page += uint64(done) / PageSize
			switch {
			case err == nil:
			case errors.Is(err, uffd.ErrMapped), errors.Is(err, uffd.ErrHole): // a Faults was quicker, or a Punch
				if err := p.fd.Wake(r.address(page), uintptr(r.unit)*PageSize); err != nil {
					return err
				}
				page += r.unit
			default:
				return err
			}
		}
	}
	return nil
}

// showZeros serves those pages that somebody waits for. The others stay holes; Faults serves them when they are touched.
func (p *Pull) showZeros(r *pulled, first, got uint64) error {
	for ; got != 0; got &= got - 1 {
		if page := first + uint64(bits.TrailingZeros64(got)); r.reported.get(page) && r.here(page) {
			if err := p.serve(r, page); err != nil {
				return err
			}
		}
	}
	return nil
}

// ones has n bits set from bit at on. Precondition: n > 0.
func ones(at, n uint64) uint64 { return ^uint64(0) >> (64 - n) << at }

// runs yields the runs of bits that are set: the first, and how many.
func runs(set uint64) func(yield func(at, count uint64) bool) {
	return func(yield func(at, count uint64) bool) {
		for set != 0 {
			at := uint64(bits.TrailingZeros64(set))
			count := uint64(bits.TrailingZeros64(^(set >> at)))
			if !yield(at, count) {
				return
			}
			set &^= ones(at, count)
		}
	}
}
