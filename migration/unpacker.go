package migration

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/migration/pack"
)

// pageBase tells what is in place. *guestmem.Memory is one.
type pageBase interface {
	ReadAt(p []byte, gpa uint64) error
}

// unpacker makes the pages of blocks whole again. One goroutine uses it; it allocates with the first block, and nothing afterwards.
type unpacker struct {
	base   pageBase        // of deltas and copies; nil: there are none
	layout guestmem.Layout // of base
	images Images          // that both hosts have; nil: none
	print  *pack.Printer
	codec  pack.Unpacker
	runs   []run // of the block that goes on
	room   []byte
}

// newUnpacker is for the pages of a push: those that were sent before are in place.
func newUnpacker(base pageBase, layout guestmem.Layout, images Images, move MoveID) *unpacker {
	return &unpacker{base: base, layout: layout, images: images, print: pack.NewPrinter(move[:])}
}

// beside is one for another channel.
func (u *unpacker) beside(move MoveID) *unpacker {
	if u == nil {
		return nil
	}
	return newUnpacker(u.base, u.layout, u.images, move)
}

// take takes the next run of a checked table. whole says that the block ends with it, and its bytes follow.
func (u *unpacker) take(r run) (whole bool) {
	if u.room == nil {
		u.room, u.runs = make([]byte, pack.MaxBlock), make([]run, 0, maxBlockRuns)
	}
	u.runs = append(u.runs, r)
	return r.packed > 0
}

// unpack makes the block whole of which take has seen the end. The pages stand one behind the other, in the order of runs; all is valid until
// the next take. The error is ErrCorrupt, ErrProtocol or a localError, and names the pages.
func (u *unpacker) unpack(packed []byte) (runs []run, pages []byte, err error) {
	runs = u.runs
	u.runs = u.runs[:0]
	size := uint64(0)
	for _, r := range runs {
		size += r.size
	}
	pages = u.room[:size]
	sum, packed := binary.LittleEndian.Uint32(packed), packed[blockSum:]
	first, c := runs[0].gpa, runs[0].codec()
	switch c {
	case pack.Words:
		err = pack.ExpandWords(pages, packed)
	case pack.Delta:
		if u.base == nil {
			return nil, nil, fmt.Errorf("%w: a difference to a page at %#x that is not here", ErrProtocol, first)
		}
		if err := u.base.ReadAt(pages, first); err != nil {
			return nil, nil, &localError{err}
		}
		err = pack.ApplyDelta(pages, packed)
	case pack.Copy:
		if err := u.copy(pages, first, packed); err != nil {
			return nil, nil, err
		}
	case pack.Image:
		if err := u.image(pages, first, packed); err != nil {
			return nil, nil, err
		}
	default:
		err = u.codec.Expand(pages, c, packed)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %v of %d bytes of pages at %#x: %w", ErrCorrupt, c, size, first, err)
	}
	if crc32.Checksum(pages, castagnoli) != sum {
		return nil, nil, fmt.Errorf("%w: %v of %d bytes of pages at %#x: the sum of the pages is another", ErrCorrupt, c, size, first)
	}
	return runs, pages, nil
}

// copy makes a page that is the same as another.
func (u *unpacker) copy(page []byte, gpa uint64, packed []byte) error {
	from := binary.LittleEndian.Uint64(packed[pack.PrintSize:])
	if u.base == nil || from&pageMask != 0 || !within(u.layout, from, guestmem.PageSize) {
		return fmt.Errorf("%w: the page at %#x is a copy of one at %#x that is not here", ErrProtocol, gpa, from)
	}
	if err := u.base.ReadAt(page, from); err != nil {
		return &localError{err}
	}
	if u.print.Print(page) != pack.Print(packed[:pack.PrintSize]) {
		return fmt.Errorf("%w: the page at %#x is a copy of one at %#x, where there is another", ErrCorrupt, gpa, from)
	}
	return nil
}

// close gives back what the codecs needed.
func (u *unpacker) close() {
	if u != nil {
		u.codec.Close()
	}
}

// block takes a run of packed pages of a frame, and places the block that ends with it.
func (p *pageReader) block(h header, r run, sum *uint32) error {
	if !p.unpack.take(r) {
		return nil
	}
	if err := p.in.fill(int(r.packed)); err != nil {
		return err
	}
	b := p.in.take(int(r.packed))
	if h.Flags&flagSummed != 0 {
		*sum = crc32.Update(*sum, castagnoli, b)
	}
	runs, pages, err := p.unpack.unpack(b)
	if err != nil {
		return err
	}
	p.totals.Saved += uint64(len(pages)) - uint64(r.packed)
	for _, r := range runs {
		if err := p.place(r.gpa, pages[:r.size]); err != nil {
			return err
		}
		pages = pages[r.size:]
	}
	return nil
}
