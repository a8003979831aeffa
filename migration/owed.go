package migration

import (
	"fmt"
	"math/bits"
	"sync/atomic"

	"github.com/ferryvmm/ferry/guestmem"
)

// owed is the pages that a target has still to get from a source. Who sends a
// page claims it first, so that none is sent twice. Methods may be called from
// several goroutines, reset excepted.
type owed struct {
	layout  guestmem.Layout
	regions [][]atomic.Uint64 // a bit a page
	left    atomic.Int64      // pages
}

func newOwed(layout guestmem.Layout) *owed {
	o := &owed{layout: layout}
	for _, r := range layout {
		o.regions = append(o.regions, make([]atomic.Uint64, (r.Size/guestmem.PageSize+63)/64))
	}
	return o
}

// reset forgets all pages.
func (o *owed) reset() {
	for _, r := range o.regions {
		for w := range r {
			r[w].Store(0)
		}
	}
	o.left.Store(0)
}

// add owes pages. The error is ErrProtocol for what is not in memory.
func (o *owed) add(gpa, size uint64) error {
	if size == 0 || (gpa|size)&pageMask != 0 || !within(o.layout, gpa, size) {
		return fmt.Errorf("%w: %#x bytes at %#x are not pages of the guest", ErrProtocol, size, gpa)
	}
	i, page := o.find(gpa)
	for n := size / guestmem.PageSize; n > 0; {
		k := min(n, 64-page%64)
		mask := ^uint64(0) >> (64 - k) << (page % 64)
		before := o.regions[i][page/64].Or(mask)
		o.left.Add(int64(bits.OnesCount64(mask &^ before)))
		page, n = page+k, n-k
	}
	return nil
}

// find returns the region that an address is in and the page's number there; -1
// outside memory.
func (o *owed) find(gpa uint64) (region int, page uint64) {
	for i, r := range o.layout {
		if gpa >= r.GPA && gpa-r.GPA < r.Size {
			return i, (gpa - r.GPA) / guestmem.PageSize
		}
	}
	return -1, 0
}

// claim takes one page, if it is owed and nobody else has taken it.
func (o *owed) claim(gpa uint64) bool {
	i, page := o.find(gpa)
	if i < 0 {
		return false
	}
	bit := uint64(1) << (page % 64)
	if o.regions[i][page/64].And(^bit)&bit == 0 {
		return false
	}
	o.left.Add(-1)
	return true
}

// claimRun takes the next pages at or after an address, and behind the end of
// memory those from its beginning: adjacent ones, of one word at the most, up to
// limit bytes. size is 0 if nothing is owed.
func (o *owed) claimRun(from, limit uint64) (gpa, size uint64) {
	start, page := o.find(from)
	if start < 0 {
		start, page = 0, 0
	}
	// The region of the start comes twice: from there, and up to there.
	for k := 0; k <= len(o.regions); k++ {
		i := (start + k) % len(o.regions)
		for w := page / 64; w < uint64(len(o.regions[i])); w++ {
			if g, n := o.claimWord(i, w, page, limit); n > 0 {
				return g, n
			}
			page = 0
		}
		page = 0
	}
	return 0, 0
}

// claimWord is claimRun in one word, from a page on.
func (o *owed) claimWord(i int, w, page, limit uint64) (gpa, size uint64) {
	word := &o.regions[i][w]
	for {
		have := word.Load()
		if w == page/64 {
			have &= ^uint64(0) << (page % 64)
		}
		if have == 0 {
			return 0, 0
		}
		first := uint64(bits.TrailingZeros64(have))
		n := min(uint64(bits.TrailingZeros64(^(have >> first))), limit/guestmem.PageSize, 64-first)
		mask := ^uint64(0) >> (64 - n) << first
		got := word.And(^mask) & mask
		o.left.Add(-int64(bits.OnesCount64(got)))
		if got == mask {
			return o.layout[i].GPA + (w*64+first)*guestmem.PageSize, n * guestmem.PageSize
		}
		// Somebody else took one of them meanwhile: give the others back.
		word.Or(got)
		o.left.Add(int64(bits.OnesCount64(got)))
	}
}
