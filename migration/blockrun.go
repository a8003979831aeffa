package migration

import (
	"fmt"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/migration/pack"
)

// A block of packed pages is some runs of one kind, all but the last with no bytes of their own. In the data, in place of the
// last one's pages, stand the CRC-32C of the pages (u32, little-endian) and what the codec made of them. Blocks of words
// and deltas have one page. The base of a delta is what was sent of that page in an earlier round. A copy has one page, too, and for its bytes the
// fingerprint and the address (u64) of a page that was sent over the same connection in the same round: it is in place, and no other channel
// brings another version before the round is whole. A page of an image has the fingerprint and where it is, see [Origin].
const (
	blockSum     = 4                                 // bytes of the sum
	copySize     = blockSum + pack.PrintSize + 8     // bytes of a copy
	maxBlockRuns = pack.MaxBlock / guestmem.PageSize // of one block
)

// wireKind is the kind of a run that a codec has packed.
func wireKind(c pack.Codec) uint16 { return wirePacked + uint16(c-pack.Words) }

// codec is what has packed a run.
func (r run) codec() pack.Codec { return pack.Words + pack.Codec(r.kind-wirePacked) }

// blockCheck checks the blocks of a run table, run by run.
type blockCheck struct {
	kind uint16 // of the block that goes on; 0: none does
	size uint64 // of its pages so far
}

// open says that a block has not ended.
func (b *blockCheck) open() bool { return b.kind != 0 }

// check takes the next run. The error is ErrProtocol.
func (b *blockCheck) check(h header, r run) error {
	if r.kind < wirePacked && !b.open() {
		return nil
	}
	c := r.codec()
	if r.kind < wirePacked || c >= pack.Codecs || h.Flags&flagPacked == 0 || b.open() && r.kind != b.kind {
		return fmt.Errorf("%w: run kind %d", ErrProtocol, r.kind)
	}
	most, least, exact := uint64(pack.MaxBlock), uint32(blockSum+1), false
	switch c {
	case pack.Words, pack.Delta:
		most, least = guestmem.PageSize, blockSum // pages that were written and have not changed have no difference
	case pack.Copy:
		most, least, exact = guestmem.PageSize, copySize, true
	case pack.Image:
		most, least, exact = guestmem.PageSize, blockSum+originSize, true
	}
	if b.size += r.size; r.size > most || b.size > most {
		return fmt.Errorf("%w: %d bytes of pages in a block of %v", ErrProtocol, b.size, c)
	}
	if b.kind = r.kind; r.packed == 0 {
		return nil
	}
	if r.packed < least || uint64(r.packed) > b.size || exact && r.packed != least {
		return fmt.Errorf("%w: %d bytes of pages packed into %d", ErrProtocol, b.size, r.packed)
	}
	*b = blockCheck{}
	return nil
}
