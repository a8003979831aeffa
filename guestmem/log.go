package guestmem

import "fmt"

// dirtyLog is how a VM tells what its guest wrote while its slots are logged. Memory.mu is held during each call.
type dirtyLog interface {
	// harvest merges what was written into the regions' pending bits, or into the marks of our own writes.
	harvest(regions []tracked) error
	// clear forgets what harvest has seen of pages [start, end), and no more, before they are looked at. Both are multiples of 64.
	clear(r *tracked, start, end uint64) error
}

var (
	_ dirtyLog = (*bitmapLog)(nil)
	_ dirtyLog = (*Rings)(nil)
)

// bitmapLog is a bit for each page.
type bitmapLog struct {
	vm    VM
	plain bool // reading the log clears it and protects every page again; else pages are cleared, and protected, a chunk at a time
}

func (l *bitmapLog) harvest(regions []tracked) error {
	for _, r := range regions {
		if err := l.vm.DirtyLog(r.slot, r.seen); err != nil {
			return fmt.Errorf("read the dirty log of slot %d: %w", r.slot, err)
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
