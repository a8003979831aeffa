// Package boot loads a PVH kernel: an ELF file whose note names a 32-bit entry
// point, with the start info structure that it expects.
//
// Source: Xen's x86/HVM direct boot ABI, docs/misc/pvh.pandoc and
// public/arch-x86/hvm/start_info.h; System V gABI chapters 4 and 5.
package boot

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

var (
	// ErrNotELF: the file is no ELF file; give an uncompressed vmlinux.
	ErrNotELF = errors.New("not an ELF file")
	// ErrMachine: the ELF file is for another machine, or no executable.
	ErrMachine = errors.New("not an x86 executable")
	// ErrNotPVH: the kernel has no PVH entry; build it with CONFIG_PVH=y.
	ErrNotPVH = errors.New("no PVH entry point (XEN_ELFNOTE_PHYS32_ENTRY)")
	// ErrTruncated: headers name bytes that the file does not have; copy it again.
	ErrTruncated = errors.New("file is truncated or its headers are damaged")
	// ErrTooBig: the kernel, the initrd or the command line does not fit.
	ErrTooBig = errors.New("does not fit in the guest's memory")
)

// Limits on what a header may claim.
const (
	maxSegments = 64
	maxSections = 4096
	maxNotes    = 1 << 20 // bytes
)

// physEntry is XEN_ELFNOTE_PHYS32_ENTRY.
const physEntry = 18

// segment is one PT_LOAD: file bytes for a guest-physical place. What memory
// has beyond the file is zero, and fresh guest memory is.
type segment struct {
	gpa           uint64
	offset, bytes uint64 // in the file
	size          uint64 // in memory
}

// Kernel is a parsed PVH kernel.
type Kernel struct {
	r        io.ReaderAt
	segments []segment
	entry    uint32
}

// Parse reads the headers of a kernel of size bytes. The errors are ErrNotELF,
// ErrMachine, ErrNotPVH and ErrTruncated.
func Parse(r io.ReaderAt, size int64) (*Kernel, error) {
	var magic [4]byte
	if err := readFull(r, magic[:], 0); err != nil || string(magic[:]) != elf.ELFMAG {
		return nil, ErrNotELF
	}
	// Bound the header counts before debug/elf allocates for them.
	if err := checkCounts(r); err != nil {
		return nil, err
	}
	f, err := elf.NewFile(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTruncated, err)
	}
	if f.Machine != elf.EM_X86_64 && f.Machine != elf.EM_386 || f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		return nil, fmt.Errorf("%w: %v, %v", ErrMachine, f.Machine, f.Type)
	}
	k := &Kernel{r: r}
	found := false
	for _, p := range f.Progs {
		if p.Filesz > uint64(size) || p.Off > uint64(size)-p.Filesz {
			return nil, fmt.Errorf("%w: a segment of %d bytes at %#x of a file of %d", ErrTruncated, p.Filesz, p.Off, size)
		}
		switch p.Type {
		case elf.PT_LOAD:
			if p.Memsz < p.Filesz || p.Paddr > math.MaxUint64-p.Memsz {
				return nil, fmt.Errorf("%w: a segment of %d bytes in memory and %d in the file", ErrTruncated, p.Memsz, p.Filesz)
			}
			k.segments = append(k.segments, segment{gpa: p.Paddr, offset: p.Off, bytes: p.Filesz, size: p.Memsz})
		case elf.PT_NOTE:
			if found || p.Filesz > maxNotes {
				continue
			}
			if k.entry, found, err = findEntry(p, f.ByteOrder); err != nil {
				return nil, err
			}
		}
	}
	if !found {
		return nil, ErrNotPVH
	}
	for _, s := range k.segments {
		if e := uint64(k.entry); e >= s.gpa && e < s.gpa+s.size {
			return k, nil
		}
	}
	return nil, fmt.Errorf("%w: the entry %#x is in none of %d segments", ErrTruncated, k.entry, len(k.segments))
}

// checkCounts refuses headers with absurd numbers of entries, and other byte
// orders than the machine's. Sections do not matter to a kernel's loader, but
// debug/elf reads them.
func checkCounts(r io.ReaderAt) error {
	var h [64]byte
	n, err := r.ReadAt(h[:], 0)
	if n < 52 || err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: ELF header", ErrTruncated)
	}
	if elf.Data(h[elf.EI_DATA]) != elf.ELFDATA2LSB {
		return fmt.Errorf("%w: byte order %d", ErrMachine, h[elf.EI_DATA])
	}
	counts := h[44:]
	if elf.Class(h[elf.EI_CLASS]) == elf.ELFCLASS64 {
		counts = h[56:]
	}
	segments, sections := binary.LittleEndian.Uint16(counts), binary.LittleEndian.Uint16(counts[4:])
	if segments > maxSegments || sections > maxSections {
		return fmt.Errorf("%w: %d program headers, %d sections; at most %d, %d are taken", ErrTruncated, segments, sections, maxSegments, maxSections)
	}
	return nil
}

// readFull fills p from offset, or fails. A ReaderAt may say io.EOF with the last byte.
func readFull(r io.ReaderAt, p []byte, offset int64) error {
	n, err := r.ReadAt(p, offset)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// findEntry looks for the entry point among the notes of a segment.
func findEntry(p *elf.Prog, order binary.ByteOrder) (uint32, bool, error) {
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
				return order.Uint32(desc), true, nil
			case len(desc) == 8 && order.Uint64(desc) <= math.MaxUint32:
				return order.Uint32(desc), true, nil
			}
			return 0, false, fmt.Errorf("%w: the entry point's note is % x", ErrTruncated, desc[:min(8, len(desc))])
		}
		notes = rest[min(align4(end), uint64(len(rest))):] // the last may lack its padding
	}
	return 0, false, nil
}

func align4(n uint64) uint64 { return (n + 3) &^ 3 }
