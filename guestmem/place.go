package guestmem

import "time"

// Place puts whole pages that came from a peer at gpa, and then notes them as received. It writes through the file: faulting
// the pages in through a mapping costs more than half as much again. Errors: ErrAlign, ErrOutside, or the write's (no memory left).
func (m *Memory) Place(gpa uint64, p []byte) error {
	r, off, err := m.findPages(gpa, uint64(len(p)))
	if err != nil {
		return err
	}
	began := time.Now()
	if err := r.write(p, off); err != nil {
		return err
	}
	if pages := uint64(len(p)) / PageSize; pages >= weighty && !r.received.get(off/PageSize) {
		r.thick.placed(pages, time.Since(began))
	}
	r.received.setRange(off/PageSize, (off+uint64(len(p)))/PageSize)
	return nil
}

// PlaceHole makes whole pages zero at no cost of memory, and then notes them as received. Where nothing was placed, it does
// not touch the file. Errors: ErrAlign, ErrOutside, or the punch's.
func (m *Memory) PlaceHole(gpa, size uint64) error {
	r, off, err := m.findPages(gpa, size)
	if err != nil {
		return err
	}
	first, end := off/PageSize, (off+size)/PageSize
	data, err := r.data(first)
	if err != nil {
		return err
	}
	if data < end {
		if err := r.punch(data*PageSize, (end-data)*PageSize); err != nil {
			return err
		}
	}
	r.received.setRange(first, end)
	return nil
}

// Received tells whether Place or PlaceHole has filled the page at gpa. It is false outside guest memory.
func (m *Memory) Received(gpa uint64) bool {
	r, off, err := m.find(gpa, 1)
	return err == nil && r.received.get(off/PageSize)
}
