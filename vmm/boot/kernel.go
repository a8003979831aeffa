// Package boot loads a kernel: an ELF file with a PVH entry point, or a bzImage,
// and what the kernel is told of its machine.
//
// Of a bzImage the kernel proper is unpacked here where its compression is gzip
// or zstd, and started where its own code would have jumped to. That is faster by
// far where KVM interprets ring 0; as with every uncompressed kernel, there is
// then no randomisation of its address. What cannot be unpacked here unpacks
// itself.
//
// Sources: Xen's x86/HVM direct boot ABI, docs/misc/pvh.pandoc and
// public/arch-x86/hvm/start_info.h; Linux Documentation/x86/boot.rst and
// zero-page.rst; System V gABI chapters 4 and 5.
package boot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

var (
	// ErrFormat: the file is no kernel that is known here; give a vmlinux with a
	// PVH entry, or a bzImage.
	ErrFormat = errors.New("not a kernel for x86: neither an ELF file nor a bzImage")
	// ErrMachine: the kernel is for another machine, or for one of 32 bits; give
	// one for x86-64.
	ErrMachine = errors.New("a kernel for another machine")
	// ErrNotPVH: the kernel has no PVH entry; build it with CONFIG_PVH=y.
	ErrNotPVH = errors.New("no PVH entry point (XEN_ELFNOTE_PHYS32_ENTRY)")
	// ErrTruncated: headers name bytes that the file does not have, or its
	// compressed part is damaged; copy it again.
	ErrTruncated = errors.New("file is truncated or damaged")
	// ErrTooBig: the kernel, the initrd or the command line does not fit.
	ErrTooBig = errors.New("does not fit in the guest's memory")
)

// segment is file bytes for a guest-physical place. What memory has beyond the
// file is zero, and fresh guest memory is.
type segment struct {
	gpa           uint64
	offset, bytes uint64 // in the file
	size          uint64 // in memory
}

// end is the first address behind it.
func (s segment) end() uint64 { return s.gpa + s.size }

// Kernel is a parsed kernel.
type Kernel struct {
	r        io.ReaderAt // what the segments' offsets are in
	packed   *unpacker   // the same, if it is being unpacked
	segments []segment
	entry    uint64
	setup    *setup // nil: a PVH kernel
}

// checkEntry wants the entry in what is loaded.
func (k *Kernel) checkEntry() error {
	for _, s := range k.segments {
		if k.entry >= s.gpa && k.entry < s.end() {
			return nil
		}
	}
	return fmt.Errorf("%w: the entry %#x is in none of %d segments", ErrTruncated, k.entry, len(k.segments))
}

// Parse reads the headers of a kernel of size bytes. The errors are ErrFormat,
// ErrMachine, ErrNotPVH and ErrTruncated, and the reader's.
func Parse(r io.ReaderAt, size int64) (*Kernel, error) {
	head := make([]byte, min(headSize, max(size, 0)))
	if err := readFull(r, head, 0); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	switch {
	case isELF(head):
		return parseELF(r, size)
	case isSetup(head):
		return parseBzImage(r, size, head)
	}
	return nil, recognize(head)
}

// headSize is how much of the file's start tells what it is: a bzImage's setup
// header included.
const headSize = 0x300

// recognize names what people give by mistake.
func recognize(head []byte) error {
	at := func(offset int, magic string) bool {
		return len(head) >= offset+len(magic) && string(head[offset:offset+len(magic)]) == magic
	}
	switch {
	case at(0x38, "ARM\x64"):
		return fmt.Errorf("%w: an Image for arm64", ErrMachine)
	case at(0x38, "RSC\x05"):
		return fmt.Errorf("%w: an Image for RISC-V", ErrMachine)
	case at(0x24, "\x18\x28\x6f\x01"):
		return fmt.Errorf("%w: a zImage for 32-bit ARM", ErrMachine)
	case at(0, "MZ") && at(4, "zimg"):
		return fmt.Errorf("%w: an EFI zboot image, of a machine that is not x86", ErrMachine)
	case at(0, "\x1f\x8b"), at(0, "\xfd7zXZ"), at(0, "\x28\xb5\x2f\xfd"):
		return fmt.Errorf("%w: a compressed file; unpack it first", ErrFormat)
	}
	return ErrFormat
}

var le = binary.LittleEndian

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
