package boot

import (
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
)

// Limits on what a header may claim.
const (
	maxSegments = 64
	maxNotes    = 1 << 20 // bytes
)

// physEntry is XEN_ELFNOTE_PHYS32_ENTRY.
const physEntry = 18

func isELF(head []byte) bool { return bytes.HasPrefix(head, []byte(elf.ELFMAG)) }

// parseELF reads a PVH kernel's headers and notes.
func parseELF(r io.ReaderAt, size int64) (*Kernel, error) {
	f, segments, err := parseSegments(r, size)
	if err != nil {
		return nil, err
	}
	k := &Kernel{r: r, segments: segments}
	for _, p := range f.Progs {
		if p.Type != elf.PT_NOTE || p.Filesz > maxNotes {
			continue
		}
		entry, found, err := findEntry(p, f.ByteOrder)
		if err != nil {
			return nil, err
		}
		if found {
			k.entry = entry
			return k, k.checkEntry()
		}
	}
	return nil, ErrNotPVH
}

// parseSegments reads the headers and what they say is to be loaded, in the
// order of the file.
func parseSegments(r io.ReaderAt, size int64) (*elf.File, []segment, error) {
	h, err := newELFHeader(r)
	if err != nil {
		return nil, nil, err
	}
	f, err := elf.NewFile(io.NewSectionReader(h, 0, size))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrTruncated, err)
	}
	if f.Machine != elf.EM_X86_64 && f.Machine != elf.EM_386 {
		return nil, nil, fmt.Errorf("%w: %v", ErrMachine, f.Machine)
	}
	if f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		return nil, nil, fmt.Errorf("%w: no executable: %v", ErrFormat, f.Type)
	}
	var segments []segment
	for _, p := range f.Progs {
		if p.Filesz > uint64(size) || p.Off > uint64(size)-p.Filesz {
			return nil, nil, fmt.Errorf("%w: a segment of %d bytes at %#x of a file of %d", ErrTruncated, p.Filesz, p.Off, size)
		}
		if p.Type != elf.PT_LOAD {
			continue
		}
		if p.Memsz < p.Filesz || p.Paddr > math.MaxUint64-p.Memsz {
			return nil, nil, fmt.Errorf("%w: a segment of %d bytes in memory and %d in the file", ErrTruncated, p.Memsz, p.Filesz)
		}
		segments = append(segments, segment{gpa: p.Paddr, offset: p.Off, bytes: p.Filesz, size: p.Memsz})
	}
	slices.SortStableFunc(segments, func(a, b segment) int { return cmp.Compare(a.offset, b.offset) })
	return f, segments, nil
}

// elfHeader is an ELF file whose header names no sections: they do not matter to
// a loader, and debug/elf would read them all.
type elfHeader struct {
	io.ReaderAt
	head []byte
}

// newELFHeader refuses headers with absurd numbers of entries, before debug/elf
// allocates for them, and other byte orders than the machine's.
func newELFHeader(r io.ReaderAt) (*elfHeader, error) {
	const size32, size64 = 52, 64
	h := &elfHeader{r, make([]byte, size64)}
	if err := readFull(r, h.head, 0); err != nil {
		return nil, fmt.Errorf("%w: ELF header", ErrTruncated)
	}
	if elf.Data(h.head[elf.EI_DATA]) != elf.ELFDATA2LSB {
		return nil, fmt.Errorf("%w: byte order %d", ErrMachine, h.head[elf.EI_DATA])
	}
	segments, sections, offset := h.head[44:46], h.head[46:52], h.head[32:36]
	if elf.Class(h.head[elf.EI_CLASS]) == elf.ELFCLASS64 {
		segments, sections, offset = h.head[56:58], h.head[58:64], h.head[40:48]
	} else {
		h.head = h.head[:size32]
	}
	if n := le.Uint16(segments); n > maxSegments {
		return nil, fmt.Errorf("%w: %d program headers; at most %d are taken", ErrTruncated, n, maxSegments)
	}
	clear(sections)
	clear(offset)
	return h, nil
}

// ReadAt reads the file, with its header as changed.
func (h *elfHeader) ReadAt(p []byte, offset int64) (int, error) {
	n, err := h.ReaderAt.ReadAt(p, offset)
	if offset >= 0 && offset < int64(len(h.head)) {
		copy(p[:n], h.head[offset:])
	}
	return n, err
}

// findEntry looks for the entry point among the notes of a segment.
func findEntry(p *elf.Prog, order binary.ByteOrder) (entry uint64, found bool, err error) {
	notes := make([]byte, p.Filesz)
	if err := readFull(p, notes, 0); err != nil {
		return 0, false, fmt.Errorf("%w: notes: %w", ErrTruncated, err)
	}
	for len(notes) >= 12 {
		nameLen, descLen, kind := uint64(order.Uint32(notes)), uint64(order.Uint32(notes[4:])), order.Uint32(notes[8:])
		rest := notes[12:]
		start := align4(nameLen)
		end := start + descLen
		if end > uint64(len(rest)) {
			return 0, false, nil // no note, but what is behind the last
		}
		name, desc := string(rest[:nameLen]), rest[start:end]
		if kind == physEntry && name == "Xen\x00" {
			switch {
			case len(desc) == 4:
				return uint64(order.Uint32(desc)), true, nil
			case len(desc) == 8 && order.Uint64(desc) <= math.MaxUint32:
				return order.Uint64(desc), true, nil
			}
			return 0, false, fmt.Errorf("%w: the entry point's note is % x", ErrTruncated, desc[:min(8, len(desc))])
		}
		notes = rest[min(align4(end), uint64(len(rest))):] // the last may lack its padding
	}
	return 0, false, nil
}

func align4(n uint64) uint64 { return (n + 3) &^ 3 }
