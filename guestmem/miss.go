package guestmem

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/uffd"
)

// tearGap is how many pages between two missing ones are taken from the guest mapping with them: to take a page costs about
// an eighth of what a call costs (0.4 and 2.7 us on a busy host), and the guest waits for it.
const tearGap = 6

// torn is pages of a region that were taken from the guest mapping at once. Those that are not missing are mapped again once
// the guest runs.
type torn struct {
	r          *pulled
	first, end uint64
}

// Miss says what is missing from now on. All else counts as received: a hole in it is zeros. It is quickest with ranges in
// ascending order. Errors: ErrAlign, ErrOutside, ErrTracking, ErrPulling if it was called before.
//
// Precondition: the guest stands still, and no other call of the Memory or the Pull but Faults is in progress.
func (p *Pull) Miss(ranges []Range) error {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if p.m.tracker != nil {
		return ErrTracking
	}
	for _, rg := range ranges {
		if _, _, err := p.findPages(rg.GPA, rg.Size); err != nil {
			return err
		}
	}
	if err := p.enter(); err != nil {
		return err
	}
	defer p.life.RUnlock()
	if p.missed.Swap(true) {
		return ErrPulling
	}
	p.serving.Lock()
	defer p.serving.Unlock()
	for _, r := range p.regions {
		if err := p.fd.Register(r.guest.address, uintptr(r.Size)); err != nil {
			return err
		}
	}
	var next torn
	for _, rg := range ranges {
		r, off, _ := p.findPages(rg.GPA, rg.Size)
		r.received.dropRange(off/PageSize, (off+rg.Size)/PageSize)
		first, end := r.whole(off/PageSize, (off+rg.Size)/PageSize)
		if first = r.mapped.nextSet(first, end); first == end {
			continue
		}
		if r == next.r && first >= next.first && first <= next.end+tearGap {
			next.end = max(next.end, end)
			continue
		}
		if err := p.tear(next); err != nil {
			return err
		}
		next = torn{r, first, end}
	}
	if err := p.tear(next); err != nil {
		return err
	}
	var pages uint64
	for _, r := range p.regions {
		pages += r.pages() - r.received.count()
	}
	if p.missing.Store(int64(pages)); pages == 0 {
		close(p.done)
	}
	if poisoning {
		return p.spoil()
	}
	return nil
}

// tear takes pages out of the guest mapping. All that were mapped before are known.
func (p *Pull) tear(t torn) error {
	if t.r == nil {
		return nil
	}
	p.torn = append(p.torn, t)
	return t.r.unmap(t.first*PageSize, (t.end-t.first)*PageSize)
}

// unmap takes pages out of the guest mapping; the file keeps them.
func (r *region) unmap(off, size uint64) error {
	if err := unix.Madvise(r.guest.bytes[off:off+size], unix.MADV_DONTNEED); err != nil {
		return fmt.Errorf("unmap pages of the guest: %w", err)
	}
	return nil
}

// mendTorn maps again what was taken from the guest mapping and is not missing. Where it fails, Faults maps it.
func (p *Pull) mendTorn() {
	for _, t := range p.torn {
		if p.mendOne(t) != nil {
			return
		}
	}
}

func (p *Pull) mendOne(t torn) error {
	if err := p.enter(); err != nil {
		return err
	}
	defer p.life.RUnlock()
	r := t.r
	for page := r.received.nextSet(t.first, t.end); page < t.end; page = r.received.nextSet(page, t.end) {
		end := r.received.nextClear(page, t.end)
		if r.huge() { // one at a time, if all of it is here
			if page, end = r.whole(page, page+1); !r.here(page) {
				page = end
				continue
			}
		}
		done, err := p.fd.Continue(r.address(page), uintptr(end-page)*PageSize)
		page += uint64(done) / PageSize
		switch {
		case err == nil:
		case errors.Is(err, uffd.ErrMapped), errors.Is(err, uffd.ErrHole): // by Faults or Fill; or it was zeros
			page += r.unit
		default:
			return err
		}
	}
	return nil
}
