package pack

// History keeps copies of pages as they were sent last, within a bound: page n has one place, n modulo the number of places, and
// whoever comes there later may turn it out. A nil History keeps nothing. One goroutine uses it.
type History struct {
	owner []uint64 // by place: the page's number and one; 0: nobody's
	pages []byte
	used  int // places that are somebody's
}

// NewHistory keeps as many pages as fit into some bytes, at least one. Memory is used as pages come.
func NewHistory(bytes uint64) *History {
	n := max(bytes/pageSize, 1)
	return &History{owner: make([]uint64, n), pages: make([]byte, n*pageSize)}
}

// place is where a page may be kept.
func (h *History) place(gpa uint64) (place, owner uint64) {
	n := gpa / pageSize
	return n % uint64(len(h.owner)), n + 1
}

// Get returns the copy of the page at gpa, nil if there is none. It is valid until the next Put.
func (h *History) Get(gpa uint64) []byte {
	if h == nil {
		return nil
	}
	place, owner := h.place(gpa)
	if h.owner[place] != owner {
		return nil
	}
	return h.pages[place*pageSize : (place+1)*pageSize]
}

// Put keeps a copy of the page at gpa. Where another page is kept that is turned out, unless the newcomer is to be humble.
func (h *History) Put(gpa uint64, page []byte, humble bool) {
	if h == nil {
		return
	}
	place, owner := h.place(gpa)
	switch old := h.owner[place]; {
	case old == 0:
		h.used++
	case old != owner && humble:
		return
	}
	h.owner[place] = owner
	copy(h.pages[place*pageSize:(place+1)*pageSize], page)
}

// Drop forgets the pages in a range of addresses: what was sent of them is not what was kept.
func (h *History) Drop(gpa, size uint64) {
	if h == nil || h.used == 0 {
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
