package guestmem

import (
	"errors"
	"fmt"
)

// dirtyLog is how a VM tells what its guest wrote while its slots are logged. Memory.mu is held during each call.
type dirtyLog interface {
	// begin precedes the log's being switched on.
	begin()
	// tear has the next harvest say errTorn.
	tear()
	// harvest merges what was written into the regions' pending bits, or into the marks of our own writes.
	// errTorn means that the log missed something: it must be switched off and on, and every page is dirty.
	harvest(regions []tracked) error
	// clear forgets what harvest has seen of pages [start, end), and no more, before they are looked at. Both are multiples of 64.
	clear(r *tracked, start, end uint64) error
	// watch says whether sample can tell what is written from now on. It follows a harvest.
	watch(regions []tracked) (bool, error)
	// sample adds to the regions' written bits what was written since watch, and forgets none of it.
	sample(regions []tracked) error
}

// errTorn never leaves this package.
var errTorn = errors.New("dirty log torn")

var (
	_ dirtyLog = (*bitmapLog)(nil)
	_ dirtyLog = (*Rings)(nil)
)

// bitmapLog is a bit for each page.
type bitmapLog struct {
	vm    VM
	plain bool // reading the log clears it and protects every page again; else pages are cleared, and protected, a chunk at a time

	scratch bitmap // what sample reads into
}

func (l *bitmapLog) begin() {}
func (l *bitmapLog) tear()  {}

func (l *bitmapLog) harvest(regions []tracked) error {
	for i := range regions {
		r := &regions[i]
		if err := l.read(r, r.seen); err != nil {
			return err
		}
		for w, bits := range r.seen {
			r.pending[w] |= bits
		}
		if l.plain {
			clear(r.seen)
		}
	}
	return nil
}

// read has the log of a region, without what it says of vacant pages.
func (l *bitmapLog) read(r *tracked, into bitmap) error {
	if !l.plain {
		if err := r.occupy(); err != nil {
			return err
		}
	}
	if err := l.vm.DirtyLog(r.slot, into); err != nil {
		return fmt.Errorf("read the dirty log of slot %d: %w", r.slot, err)
	}
	if !l.plain {
		for w, vacant := range r.vacant {
			into[w] &^= vacant
		}
	}
	return nil
}

func (l *bitmapLog) clear(r *tracked, start, end uint64) error {
	first, last := start/64, end/64
	for first < last && r.seen[first] == 0 {
		first++
	}
	for first < last && r.seen[last-1] == 0 {
		last--
	}
	if first == last {
		return nil
	}
	words := r.seen[first:last]
	if err := l.vm.ClearDirtyLog(r.slot, first*64, uint32(len(words)*64), words); err != nil {
		return fmt.Errorf("clear the dirty log of slot %d: %w", r.slot, err)
	}
	clear(words)
	return nil
}

// clearAll clears what was seen of a whole region.
func clearAll(l dirtyLog, r *tracked) error {
	for start := uint64(0); start < r.pages(); start += gulpPages {
		if err := l.clear(r, start, min(start+gulpPages, r.pages())); err != nil {
			return err
		}
	}
	return nil
}

// watch clears all that the log may have begun with.
func (l *bitmapLog) watch(regions []tracked) (bool, error) {
	if l.plain {
		return false, nil
	}
	for i := range regions {
		if err := clearAll(l, &regions[i]); err != nil {
			return false, err
		}
	}
	return true, nil
}

// sample leaves the bits in the log. Those of pages that the round has not yielded yet are noted as seen.
func (l *bitmapLog) sample(regions []tracked) error {
	for i := range regions {
		r := &regions[i]
		if len(l.scratch) < len(r.written) {
			l.scratch = newBitmap(r.pages())
		}
		log := l.scratch[:len(r.written)]
		if err := l.read(r, log); err != nil {
			return err
		}
		for w, dirty := range log {
			r.seen[w] |= dirty & r.pending[w]
			r.written[w] |= dirty
		}
	}
	return nil
}
