package guestmem

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/ferryvmm/ferry/internal/uffd"
)

// Pull is a guest's memory of which pages may be missing: they are on another host until they are filled. A vCPU that
// touches a missing page waits in a page fault, and a call of Memory waits on a channel; Faults tells of both.
//
// The received bits alone say which pages are here: the memfd may hold an older copy of what is missing. Only the guest
// mapping has page faults. Methods may be called from several goroutines.
type Pull struct {
	m       *Memory
	fd      *uffd.FD
	regions []pulled

	// life is held for reading by each call that uses fd, and for writing by Close.
	life   sync.RWMutex
	closed atomic.Bool

	missed  atomic.Bool   // Miss was called
	missing atomic.Int64  // pages
	done    chan struct{} // closed when no more are

	// placing guards the received bits, and the bytes of missing pages, of the pieces that share it: a piece is placed, and
	// its bits are set, under it. So no page is placed twice.
	placing [64]sync.Mutex

	// reading is held by the Faults that waits for page faults, serving while it looks at received bits and maps pages: Miss
	// takes pages away between two such looks.
	reading, serving sync.Mutex

	waits waits

	torn []torn    // what Miss has taken from the guest mapping and is not missing
	mend sync.Once // of it
}

// pulled is a region as a Pull sees it.
type pulled struct {
	*region
	mapped   atomicBitmap // all pages that the guest mapping may have, as long as none may be missing
	reported atomicBitmap // pages that Faults has told of, or will
}

func (r *pulled) address(page uint64) uintptr { return r.guest.address + uintptr(page*PageSize) }

// Pull makes memory ready to miss pages; dev is an open /dev/userfaultfd, which stays the caller's. From here until Close
// page faults of the guest mapping, also those of KVM itself, are served by Faults alone, which must be running before the
// first; before Miss there must be none on what is a hole. Nothing is missing yet. Errors: ErrPulling, ErrClosed, uffd.ErrUnavailable.
func (m *Memory) Pull(dev *os.File) (_ *Pull, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return nil, ErrClosed
	case m.pull.Load() != nil:
		return nil, ErrPulling
	}
	p := &Pull{m: m, done: make(chan struct{}), regions: make([]pulled, len(m.regions)), waits: waits{pages: map[uint64]chan struct{}{}}}
	if p.fd, err = uffd.New(dev, m.regions[0].huge()); err != nil {
		return nil, err
	}
	for i, r := range m.regions {
		words := len(r.received)
		p.regions[i] = pulled{region: r, mapped: make(atomicBitmap, words), reported: make(atomicBitmap, words)}
		// Only for pages that the file has: it takes no huge page as long as a mapping waits for such as it has not.
		if err := p.fd.RegisterMinor(r.guest.address, uintptr(r.Size)); err != nil {
			return nil, errors.Join(err, p.fd.Close())
		}
		// What is mapped from now on was mapped by us, and is known.
		if err := r.unmap(0, r.Size); err != nil {
			return nil, errors.Join(err, p.fd.Close())
		}
		r.received.setRange(0, r.pages())
	}
	m.pull.Store(p)
	return p, nil
}

// Map maps pages that were placed for the guest, so that it need not fault on them later: 0.1 us a page in bulk. Holes, and
// what is mapped already, are passed over. Errors: ErrAlign, ErrOutside, ErrClosed, ErrPulling after Miss.
func (p *Pull) Map(gpa, size uint64) error {
	r, off, err := p.findPages(gpa, size)
	if err != nil {
		return err
	}
	if err := p.enter(); err != nil {
		return err
	}
	defer p.life.RUnlock()
	if p.missed.Load() {
		return fmt.Errorf("%w: pages may be missing, and must not be mapped", ErrPulling)
	}
	first, end := r.whole(off/PageSize, (off+size)/PageSize)
	for page := r.mapped.nextClear(first, end); page < end; page = r.mapped.nextClear(page, end) {
		done, err := p.fd.Continue(r.address(page), uintptr(r.mapped.nextSet(page, end)-page)*PageSize)
		r.mapped.setRange(page, page+uint64(done)/PageSize)
		page += uint64(done) / PageSize
		switch {
		case err == nil:
		case errors.Is(err, uffd.ErrMapped):
			r.mapped.setRange(page, page+r.unit)
		case errors.Is(err, uffd.ErrHole):
			next, err := r.data(page)
			if err != nil {
				return err
			}
			page = max(page+r.unit, next) // data by now, perhaps: then it faults later
		default:
			return err
		}
	}
	return nil
}

// Missing is the number of pages that are missing.
func (p *Pull) Missing() uint64 { return uint64(p.missing.Load()) }

// Done is closed when nothing is missing any more. Precondition of that: Miss was called.
func (p *Pull) Done() <-chan struct{} { return p.done }

// MissingRanges lists what is missing, in ascending order.
func (p *Pull) MissingRanges() []Range {
	var ranges []Range
	for r, page := range p.eachMissing {
		gpa := r.GPA + page*PageSize
		if n := len(ranges); n > 0 && ranges[n-1].End() == gpa {
			ranges[n-1].Size += PageSize
		} else {
			ranges = append(ranges, Range{gpa, PageSize})
		}
	}
	return ranges
}

// eachMissing yields the missing pages in ascending order.
func (p *Pull) eachMissing(yield func(r *pulled, page uint64) bool) {
	for i := range p.regions {
		r := &p.regions[i]
		for page := r.received.nextClear(0, r.pages()); page < r.pages(); page = r.received.nextClear(page+1, r.pages()) {
			if !yield(r, page) {
				return
			}
		}
	}
}

// Close ends Faults and gives the userfaultfd back: no trace of it is left. Waits for what is missing still, and later
// accesses to it, fail with ErrClosed. Calling it again does nothing.
//
// Precondition: nothing is missing, or the guest never runs again: it would read what it must not.
func (p *Pull) Close() error {
	if p.closed.Swap(true) {
		return nil
	}
	errs := []error{p.fd.Kick()}
	p.life.Lock()
	defer p.life.Unlock()
	p.waits.mu.Lock()
	p.waits.end()
	p.waits.mu.Unlock()
	for _, r := range p.regions {
		errs = append(errs, p.fd.Unregister(r.guest.address, uintptr(r.Size)))
	}
	errs = append(errs, p.fd.Close())
	if p.Missing() == 0 {
		p.m.pull.Store(nil)
	}
	return errors.Join(errs...)
}

// enter takes life for reading, or returns ErrClosed.
func (p *Pull) enter() error {
	p.life.RLock()
	if p.closed.Load() {
		p.life.RUnlock()
		return fmt.Errorf("%w: the pull is over", ErrClosed)
	}
	return nil
}

// findPages is Memory's, with the region as it is seen here.
func (p *Pull) findPages(gpa, size uint64) (*pulled, uint64, error) {
	r, off, err := p.m.findPages(gpa, size)
	if err != nil {
		return nil, 0, err
	}
	return &p.regions[r.slot], off, nil
}
