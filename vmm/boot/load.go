package boot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ferryvmm/ferry/guestmem"
)

// Places in low memory that no kernel's segments may use.
const (
	startInfoAddr = 0x6000
	memmapAddr    = 0x7000
	modulesAddr   = 0x7800
	cmdlineAddr   = 0x8000
	// MaxCmdline is the room for the command line with its zero, in bytes.
	MaxCmdline = 0x8000
	lowEnd     = cmdlineAddr + MaxCmdline
)

// startMagic is XEN_HVM_START_MAGIC_VALUE.
const startMagic = 0x336ec578

// startInfoVersion has the memory map in it.
const startInfoVersion = 1

// ramType of an entry of the memory map: E820 RAM.
const ramType = 1

// legacyHole is what a PC keeps for video and firmware: no kernel expects RAM
// there, although ours is.
const (
	legacyHole    = 0x9fc00
	legacyHoleEnd = 0x100000
)

// Memory is guest memory by guest-physical address.
type Memory interface {
	WriteAt(p []byte, gpa uint64) error
}

// Options are what a kernel is started with.
type Options struct {
	Initrd     io.ReaderAt // nil: none
	InitrdSize int64
	Cmdline    string
	Layout     guestmem.Layout
}

// Entry is where the first vCPU starts: 32-bit protected mode, paging off,
// RIP at the entry, RBX the start info's guest-physical address.
type Entry struct {
	RIP, StartInfo uint64
}

// Load copies the kernel, the initrd and the start info to guest memory. Memory
// that stays zero is not written. The errors are ErrTooBig and ErrTruncated.
func (k *Kernel) Load(m Memory, o Options) (Entry, error) {
	if len(o.Layout) == 0 {
		return Entry{}, fmt.Errorf("%w: no memory", ErrTooBig)
	}
	if len(o.Cmdline) >= MaxCmdline {
		return Entry{}, fmt.Errorf("command line of %d bytes: %w", len(o.Cmdline), ErrTooBig)
	}
	low := o.Layout[0].Size
	end := uint64(legacyHoleEnd)
	for _, s := range k.segments {
		if !inside(o.Layout, s.gpa, s.size) || s.gpa < lowEnd && s.size > 0 {
			return Entry{}, fmt.Errorf("segment of %d bytes at %#x: %w", s.size, s.gpa, ErrTooBig)
		}
		if s.gpa+s.size <= low {
			end = max(end, s.gpa+s.size)
		}
	}
	var initrd uint64
	if o.Initrd != nil && o.InitrdSize > 0 {
		size := uint64(o.InitrdSize)
		if size > low || (low-size)&^(guestmem.PageSize-1) < end {
			return Entry{}, fmt.Errorf("initrd of %d bytes beside the kernel: %w", size, ErrTooBig)
		}
		initrd = (low - size) &^ (guestmem.PageSize - 1)
		if err := copyTo(m, o.Initrd, 0, size, initrd); err != nil {
			return Entry{}, fmt.Errorf("initrd: %w", err)
		}
	}
	for _, s := range k.segments {
		if err := copyTo(m, k.r, s.offset, s.bytes, s.gpa); err != nil {
			return Entry{}, fmt.Errorf("kernel: %w", err)
		}
	}
	if err := m.WriteAt(append([]byte(o.Cmdline), 0), cmdlineAddr); err != nil {
		return Entry{}, err
	}
	if err := writeStartInfo(m, o, initrd); err != nil {
		return Entry{}, err
	}
	return Entry{RIP: uint64(k.entry), StartInfo: startInfoAddr}, nil
}

// writeStartInfo lays out hvm_start_info with its memory map and module list.
func writeStartInfo(m Memory, o Options, initrd uint64) error {
	le := binary.LittleEndian
	var memmap []byte
	entries := uint32(0)
	add := func(start, end uint64) {
		memmap = le.AppendUint64(memmap, start)
		memmap = le.AppendUint64(memmap, end-start)
		memmap = le.AppendUint32(memmap, ramType)
		memmap = le.AppendUint32(memmap, 0)
		entries++
	}
	for i, r := range o.Layout {
		if i == 0 {
			add(0, legacyHole)
			add(legacyHoleEnd, r.GPA+r.Size)
			continue
		}
		add(r.GPA, r.GPA+r.Size)
	}
	if err := m.WriteAt(memmap, memmapAddr); err != nil {
		return err
	}
	modules, modulesAt := uint32(0), uint64(0)
	if initrd != 0 {
		modules, modulesAt = 1, modulesAddr
		entry := le.AppendUint64(nil, initrd)
		entry = le.AppendUint64(entry, uint64(o.InitrdSize))
		entry = append(entry, make([]byte, 16)...) // no command line, reserved
		if err := m.WriteAt(entry, modulesAddr); err != nil {
			return err
		}
	}
	info := le.AppendUint32(nil, startMagic)
	info = le.AppendUint32(info, startInfoVersion)
	info = le.AppendUint32(info, 0) // flags
	info = le.AppendUint32(info, modules)
	info = le.AppendUint64(info, modulesAt)
	info = le.AppendUint64(info, cmdlineAddr)
	info = le.AppendUint64(info, 0) // no RSDP
	info = le.AppendUint64(info, memmapAddr)
	info = le.AppendUint32(info, entries)
	info = le.AppendUint32(info, 0)
	return m.WriteAt(info, startInfoAddr)
}

// inside tells whether [gpa, gpa+size) lies in one region.
func inside(l guestmem.Layout, gpa, size uint64) bool {
	for _, r := range l {
		if gpa >= r.GPA && size <= r.Size && gpa-r.GPA <= r.Size-size {
			return true
		}
	}
	return false
}

// copyTo copies size bytes at offset of r to guest memory, leaving out pages
// that are zero: fresh memory is zero and should stay a hole.
func copyTo(m Memory, r io.ReaderAt, offset, size, gpa uint64) error {
	buf := make([]byte, min(256<<10, size+guestmem.PageSize))
	for size > 0 {
		// Chunks end at page boundaries, so that whole zero pages are seen.
		n := min(uint64(len(buf))-gpa%guestmem.PageSize, size)
		err := readFull(r, buf[:n], int64(offset))
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("%w: it ends before byte %d", ErrTruncated, offset+n)
		}
		if err != nil {
			return err
		}
		if err := writeData(m, buf[:n], gpa); err != nil {
			return err
		}
		offset, gpa, size = offset+n, gpa+n, size-n
	}
	return nil
}

var zeroPage [guestmem.PageSize]byte

// writeData writes p but for its zero pages, as few pieces.
func writeData(m Memory, p []byte, gpa uint64) error {
	from := 0 // start of the piece that ends at to
	for to := 0; to < len(p); {
		n := min(guestmem.PageSize-int((gpa+uint64(to))%guestmem.PageSize), len(p)-to)
		if bytes.Equal(p[to:to+n], zeroPage[:n]) {
			if err := writePiece(m, p[from:to], gpa+uint64(from)); err != nil {
				return err
			}
			from = to + n
		}
		to += n
	}
	return writePiece(m, p[from:], gpa+uint64(from))
}

func writePiece(m Memory, p []byte, gpa uint64) error {
	if len(p) == 0 {
		return nil
	}
	return m.WriteAt(p, gpa)
}
