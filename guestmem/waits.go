package guestmem

import (
	"sync"
	"sync/atomic"
)

// waits are calls of Memory that wait for missing pages.
type waits struct {
	count atomic.Int64 // of pages; a look at it without mu must not miss a wait that began before a page arrived

	mu          sync.Mutex               // guards what follows
	pages       map[uint64]chan struct{} // by address; closed when the page is there, or the wait is to end
	asked       []uint64                 // pages that Faults is to tell of
	interrupted bool
}

// await returns once [off, off+size) of a region is here.
func (m *Memory) await(r *region, off, size uint64) error {
	p := m.pull.Load()
	if p == nil || size == 0 {
		return nil
	}
	return p.await(&p.regions[r.slot], off/PageSize, (off+size+PageSize-1)/PageSize)
}

// await returns once pages [first, end) are here. Errors: ErrInterrupted, ErrClosed.
func (p *Pull) await(r *pulled, first, end uint64) error {
	for page := r.received.nextClear(first, end); page < end; page = r.received.nextClear(page, end) {
		there, err := p.begin(r, page, end)
		if err != nil {
			return err
		}
		<-there
	}
	return nil
}

// begin begins to wait for a page, and asks for all pages before end that are missing.
func (p *Pull) begin(r *pulled, page, end uint64) (there chan struct{}, err error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.life.RUnlock()
	w := &p.waits
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.interrupted {
		return nil, ErrInterrupted
	}
	gpa := r.GPA + page*PageSize
	there, again := w.pages[gpa]
	if !again {
		there = make(chan struct{})
		w.pages[gpa] = there
		w.count.Store(int64(len(w.pages)))
	}
	w.sweep(p) // it may have arrived before we were counted
	if w.ask(r, page, end) {
		return there, p.fd.Kick()
	}
	return there, nil
}

// ask asks for what is missing of pages [page, end), and tells whether that is more than was asked for. It wants mu held.
func (w *waits) ask(r *pulled, page, end uint64) (more bool) {
	for page = r.received.nextClear(page, end); page < end; page = r.received.nextClear(page+1, end) {
		if _, first := r.report(page); first {
			w.asked = append(w.asked, r.GPA+page*PageSize)
			more = true
		}
	}
	return more
}

// want asks for all of the unit that page is in.
func (w *waits) want(r *pulled, page uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first, end := r.whole(page, page+1)
	w.ask(r, first, end)
}

// release ends the waits for pages that have arrived.
func (w *waits) release(p *Pull) {
	if w.count.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sweep(p)
}

// sweep wants mu held.
func (w *waits) sweep(p *Pull) {
	for gpa, there := range w.pages {
		if r, off, err := p.m.find(gpa, 1); err == nil && r.received.get(off/PageSize) {
			close(there)
			delete(w.pages, gpa)
		}
	}
	w.count.Store(int64(len(w.pages)))
}

// renew makes Faults tell of all again. What begin asks for meanwhile must not get lost: it is in Wanted, or comes after.
func (w *waits) renew(p *Pull) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = p.Wanted()
}

// take moves what is still missing of what was asked for to gpas.
func (w *waits) take(p *Pull, gpas []uint64) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n < len(gpas) && len(w.asked) > 0 {
		gpa := w.asked[0]
		w.asked = w.asked[1:]
		if !p.m.Received(gpa) {
			gpas[n] = gpa
			n++
		}
	}
	return n
}

// end ends all waits: who still finds its page missing begins again, and is told why not.
// It wants mu held.
func (w *waits) end() {
	for _, there := range w.pages {
		close(there)
	}
	clear(w.pages)
	w.count.Store(0)
}

// Interrupt makes calls that wait for missing pages, and those that would, fail with ErrInterrupted, until Resume. Without a
// Pull it does nothing.
func (m *Memory) Interrupt() { m.interrupt(true) }

// Resume undoes Interrupt.
func (m *Memory) Resume() { m.interrupt(false) }

func (m *Memory) interrupt(on bool) {
	if p := m.pull.Load(); p != nil {
		p.waits.mu.Lock()
		defer p.waits.mu.Unlock()
		p.waits.interrupted = on
		p.waits.end()
	}
}
