package guestmem

import (
	"errors"
	"fmt"

	"github.com/ferryvmm/ferry/internal/uffd"
)

// Faults waits until missing pages are needed that it has not told of, by vCPUs or by calls of Memory, and puts their
// addresses into gpas, each of a page of 4 KiB. Each is told of once, and again after Renew. A vCPU needs all of a huge page. Faults on pages that are here it serves by itself,
// also before Miss, so one goroutine must always be in it; others wait for that one. Errors: ErrClosed after Close, or
// userfaultfd's, after which a vCPU may wait for ever.
//
// Precondition: len(gpas) > 0.
func (p *Pull) Faults(gpas []uint64) (n int, err error) {
	p.reading.Lock()
	defer p.reading.Unlock()
	if err := p.enter(); err != nil {
		return 0, err
	}
	defer p.life.RUnlock()
	for !p.closed.Load() {
		if n := p.waits.take(p, gpas); n > 0 {
			return n, nil
		}
		var addresses [64]uintptr
		got, err := p.fd.Read(addresses[:min(len(addresses), len(gpas))])
		if err != nil {
			return 0, err
		}
		if n, err = p.sort(addresses[:got], gpas); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, fmt.Errorf("%w: the pull is over", ErrClosed)
}

// sort serves those page faults whose pages are here, and puts the other pages, if they are new, into gpas.
func (p *Pull) sort(addresses []uintptr, gpas []uint64) (n int, err error) {
	p.serving.Lock()
	defer p.serving.Unlock()
	for _, address := range addresses {
		r, page, err := p.locate(address)
		if err != nil {
			return n, err
		}
		needed, first := false, false
		if r.huge() {
			p.waits.want(r, page)
			needed = !r.here(page)
		} else {
			needed, first = r.report(page)
		}
		if first {
			gpas[n] = r.GPA + page*PageSize
			n++
		} else if !needed {
			if err := p.serve(r, page); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// report notes that somebody waits for a page. needed says that it is missing, and who fills it will see the note; first
// that nobody has noted it before.
func (r *pulled) report(page uint64) (needed, first bool) {
	if r.received.get(page) {
		return false, false
	}
	first = r.reported.set(page)
	// FillZero sets received and then looks at reported: one of us sees the other.
	needed = !r.received.get(page)
	return needed, needed && first
}

// locate turns an address of the guest mapping into a page.
func (p *Pull) locate(address uintptr) (*pulled, uint64, error) {
	for i := range p.regions {
		r := &p.regions[i]
		if address >= r.guest.address && uint64(address-r.guest.address) < r.Size {
			return r, uint64(address-r.guest.address) / PageSize, nil
		}
	}
	return nil, 0, fmt.Errorf("page fault at %#x, which is no guest memory", address)
}

// serve maps the unit that a page is in, which is here, of zeros if it is a hole, and wakes who waits for it.
func (p *Pull) serve(r *pulled, page uint64) error {
	first, end := r.whole(page, page+1)
	r.mapped.setRange(first, end)
	address, size := r.address(first), uintptr(r.unit)*PageSize
	_, err := p.fd.Continue(address, size)
	if errors.Is(err, uffd.ErrHole) {
		if r.huge() { // userfaultfd has no zeros of that size
			if err := r.allocate(first); err != nil {
				return err
			}
			_, err = p.fd.Continue(address, size)
		} else {
			_, err = p.fd.Zeropage(address, size)
		}
	}
	if errors.Is(err, uffd.ErrMapped) { // by somebody else, or it is data by now: then it faults once more
		return p.fd.Wake(address, size)
	}
	return err
}

// Wanted lists the missing pages that somebody waits for, in ascending order.
func (p *Pull) Wanted() []uint64 {
	var gpas []uint64
	for r, page := range p.eachMissing {
		if r.reported.get(page) {
			gpas = append(gpas, r.GPA+page*PageSize)
		}
	}
	return gpas
}

// Renew makes Faults tell of all of Wanted again: what was asked for was lost with a connection.
func (p *Pull) Renew() error {
	if err := p.enter(); err != nil {
		return err
	}
	defer p.life.RUnlock()
	p.waits.renew(p)
	return p.fd.Kick()
}
