package migration

import (
	"encoding/binary"
	"fmt"

	"github.com/ferryvmm/ferry/guestmem"
)

// runSize is the length of an entry of a run table: address u64, of which the
// low bits hold the kind, and length u64, both in bytes, little-endian.
const runSize = 16

// Kinds on the wire.
const (
	wireData = 0
	wireZero = 1
	wireHole = 2
	// wireMissing, in the last round, is data that the target pulls later. No
	// bytes follow.
	wireMissing = 3
	// Those from wirePacked on, in frames with flagPacked, are blocks of packed pages: see blockRun.
	wirePacked = 4
)

const pageMask = guestmem.PageSize - 1

// run is an entry of a run table.
type run struct {
	gpa, size uint64
	kind      uint16
	packed    uint32 // bytes that follow of packed pages, in the upper half of the size; 0: the block goes on with the next run
}

func (r run) put(b []byte) {
	binary.LittleEndian.PutUint64(b, r.gpa|uint64(r.kind))
	binary.LittleEndian.PutUint64(b[8:], r.size|uint64(r.packed)<<32)
}

func parseRun(b []byte) run {
	a := binary.LittleEndian.Uint64(b)
	r := run{gpa: a &^ pageMask, kind: uint16(a & pageMask), size: binary.LittleEndian.Uint64(b[8:])}
	if r.kind >= wirePacked {
		r.size, r.packed = r.size&0xffffffff, uint32(r.size>>32)
	}
	return r
}

// checkRuns verifies the run table of a Pages frame against the layout, before
// a byte of it is used. The error is ErrProtocol.
func checkRuns(h header, table []byte, layout guestmem.Layout) error {
	var data uint64
	var blocks blockCheck
	for i := 0; i < len(table); i += runSize {
		r := parseRun(table[i:])
		if err := blocks.check(h, r); err != nil {
			return err
		}
		if r.kind == wireMissing && h.Flags&flagFinal == 0 {
			return fmt.Errorf("%w: run kind %d", ErrProtocol, r.kind)
		}
		if r.size == 0 || r.size&pageMask != 0 || !within(layout, r.gpa, r.size) {
			return fmt.Errorf("%w: pages outside memory: %#x bytes at %#x", ErrProtocol, r.size, r.gpa)
		}
		if r.kind == wireData {
			if r.size > maxFrameData {
				return fmt.Errorf("%w: a run of %d bytes", ErrProtocol, r.size)
			}
			data += r.size // at most maxRuns × maxFrameData
		}
		data += uint64(r.packed)
	}
	if blocks.open() {
		return fmt.Errorf("%w: a block of packed pages has no end", ErrProtocol)
	}
	if uint64(len(table))+data != uint64(h.Length) {
		return fmt.Errorf("%w: %d bytes of pages announced, %d sent", ErrProtocol, data, h.Length-uint32(len(table)))
	}
	return nil
}

// within says whether a range is inside one region.
func within(layout guestmem.Layout, gpa, size uint64) bool {
	for _, r := range layout {
		if gpa >= r.GPA && gpa-r.GPA < r.Size {
			return size <= r.Size-(gpa-r.GPA)
		}
	}
	return false
}

// roundTotals ends a round, so that the target can check that it has it all.
type roundTotals struct {
	Frames, DataPages, ZeroPages, HolePages uint64

	Saved uint64 // bytes by which packing made the data smaller; each side counts them
}

const roundTotalsSize = 32

func (t roundTotals) put(b []byte) {
	binary.LittleEndian.PutUint64(b, t.Frames)
	binary.LittleEndian.PutUint64(b[8:], t.DataPages)
	binary.LittleEndian.PutUint64(b[16:], t.ZeroPages)
	binary.LittleEndian.PutUint64(b[24:], t.HolePages)
}

func parseRoundTotals(b []byte) (roundTotals, error) {
	if len(b) != roundTotalsSize {
		return roundTotals{}, fmt.Errorf("%w: round totals of %d bytes", ErrProtocol, len(b))
	}
	return roundTotals{
		Frames:    binary.LittleEndian.Uint64(b),
		DataPages: binary.LittleEndian.Uint64(b[8:]),
		ZeroPages: binary.LittleEndian.Uint64(b[16:]),
		HolePages: binary.LittleEndian.Uint64(b[24:]),
	}, nil
}

// add counts a run of some bytes.
func (t *roundTotals) add(kind uint16, size uint64) {
	switch kind {
	default: // packed, too
		t.DataPages += size / guestmem.PageSize
	case wireZero:
		t.ZeroPages += size / guestmem.PageSize
	case wireHole:
		t.HolePages += size / guestmem.PageSize
	case wireMissing:
	}
}

// sum adds what another channel carried.
func (t *roundTotals) sum(u roundTotals) {
	t.Frames += u.Frames
	t.DataPages += u.DataPages
	t.ZeroPages += u.ZeroPages
	t.HolePages += u.HolePages
	t.Saved += u.Saved
}

func (t roundTotals) pages() uint64 { return t.DataPages + t.ZeroPages + t.HolePages }
func (t roundTotals) bytes() uint64 { return t.DataPages * guestmem.PageSize }

// payload is what of the data was sent, in bytes.
func (t roundTotals) payload() uint64 { return t.bytes() - t.Saved }
