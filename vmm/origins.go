package vmm

import (
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/migration"
)

// origins know which pages of the guest were read from which page of an image that it cannot write. What is not noted, or what the guest has
// written since, costs nothing but that: who sends a page compares it first.
type origins struct {
	disks []*disk
	// pages has an entry for each page up to the end of memory: zero, or the number of the image's page times that of disks, plus that of its disk, plus one.
	pages []atomic.Uint64
}

var _ migration.Images = (*origins)(nil)

// newOrigins is nil if no disk can be read here beside the guest.
func newOrigins(disks []*disk, layout guestmem.Layout) *origins {
	for _, d := range disks {
		if d.pages != nil {
			last := layout[len(layout)-1]
			return &origins{disks: disks, pages: make([]atomic.Uint64, (last.GPA+last.Size)/guestmem.PageSize)}
		}
	}
	return nil
}

// of returns what a disk's device tells what it has read; nil: nothing is to be told.
func (o *origins) of(d *disk) func(gpa, size uint64, offset int64) {
	if o == nil || d.pages == nil {
		return nil
	}
	number := uint32(slices.Index(o.disks, d))
	return func(gpa, size uint64, offset int64) {
		if (gpa^uint64(offset))%guestmem.PageSize != 0 {
			return // no page of the guest is one of the image
		}
		skip := -gpa % guestmem.PageSize
		for ; skip+guestmem.PageSize <= size; skip += guestmem.PageSize {
			o.Note(gpa+skip, migration.Origin{Image: number, Offset: uint64(offset) + skip})
		}
	}
}

// Origin implements migration.Images.
func (o *origins) Origin(gpa uint64) (migration.Origin, bool) {
	at := gpa / guestmem.PageSize
	if at >= uint64(len(o.pages)) {
		return migration.Origin{}, false
	}
	word := o.pages[at].Load()
	if word == 0 {
		return migration.Origin{}, false
	}
	word--
	disks := uint64(len(o.disks))
	return migration.Origin{Image: uint32(word % disks), Offset: word / disks * guestmem.PageSize}, true
}

// Note implements migration.Images.
func (o *origins) Note(gpa uint64, from migration.Origin) {
	if at := gpa / guestmem.PageSize; at < uint64(len(o.pages)) {
		o.pages[at].Store(from.Offset/guestmem.PageSize*uint64(len(o.disks)) + uint64(from.Image) + 1)
	}
}

// ReadPage implements migration.Images. A peer may have named the page.
func (o *origins) ReadPage(page []byte, from migration.Origin) error {
	if uint64(from.Image) >= uint64(len(o.disks)) || o.disks[from.Image].pages == nil {
		return fmt.Errorf("no disk %d that only can be read", from.Image)
	}
	d := o.disks[from.Image]
	if from.Offset > 1<<62 {
		return fmt.Errorf("disk %s: read at %d: %w", d.id, from.Offset, io.EOF)
	}
	if _, err := d.pages.ReadAt(page, int64(from.Offset)); err != nil {
		return fmt.Errorf("disk %s: read at %d: %w", d.id, from.Offset, err)
	}
	return nil
}

// shared is what a move may refer to; nil: nothing.
func (b *backends) shared() migration.Images {
	if b.origins == nil {
		return nil // and not one that holds nil
	}
	return b.origins
}
