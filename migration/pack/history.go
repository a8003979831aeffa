package pack

import "sync"

// History keeps copies of pages as they were sent last, within a bound: page n has one place, n modulo the number of places, and
// whoever comes there later may turn it out. A nil History keeps nothing.
type History struct {
	mu    sync.Mutex // guards all below
	owner []uint64   // by place: the page's number and one; 0: nobody's
	pages []byte     // nil before the first
	used  int        // places that are somebody's
}

// NewHistory keeps as many pages as fit into some bytes, at least one. Memory is used as pages come.
func NewHistory(bytes uint64) *History {
	return &History{owner: make([]uint64, max(bytes/pageSize, 1))}
}

// place is where a page may be kept.
func (h *History) place(gpa uint64) (place, owner uint64) {
	n := gpa / pageSize
	return n % uint64(len(h.owner)), n + 1
}

// Swap appends to dst what makes a page out of its copy, as AppendDelta does, and keeps the page in place of that. It is false, with
// nothing appended, if there is no copy, or the difference takes more than limit bytes. Where another page is kept that is turned
// out, unless the newcomer is to be humble.
func (h *History) Swap(dst []byte, gpa uint64, page []byte, limit int, humble bool) (_ []byte, ok bool) {
	if h == nil {
		return dst, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pages == nil {
		h.pages = make([]byte, len(h.owner)*pageSize)
	}
	place, owner := h.place(gpa)
	kept := h.pages[place*pageSize : (place+1)*pageSize]
	switch old := h.owner[place]; {
	case old == owner:
		dst, ok = AppendDelta(dst, kept, page, limit)
	case old == 0:
		h.used++
	case humble:
		return dst, false
	}
	h.owner[place] = owner
	copy(kept, page)
	return dst, ok
}

// Drop forgets the pages in a range of addresses: what was sent of them is not what was kept.
func (h *History) Drop(gpa, size uint64) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.used == 0 {
		return
	}
	if n := uint64(len(h.owner)); size/pageSize >= n {
		first, end := gpa/pageSize, (gpa+size)/pageSize
		for place, owner := range h.owner {
			if owner > first && owner <= end {
				h.owner[place] = 0
				h.used--
			}
		}
		return
	}
	for end := gpa + size; gpa < end; gpa += pageSize {
		if place, owner := h.place(gpa); h.owner[place] == owner {
			h.owner[place] = 0
			h.used--
		}
	}
}
