package boot

import (
	"fmt"
	"io"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/vmm/firmware"
)

// Places in low memory that no kernel's segments may use. Start info, memory map
// and modules are of a PVH kernel, tables and zero page of another.
const (
	tablesAddr    = 0x1000
	gdtAddr       = 0x6000
	startInfoAddr = 0x6000
	memmapAddr    = 0x7000
	zeroPageAddr  = 0x7000
	modulesAddr   = 0x7800
	cmdlineAddr   = 0x8000
	// MaxCmdline is the room for the command line with its zero, in bytes.
	MaxCmdline = 0x8000
	lowEnd     = cmdlineAddr + MaxCmdline
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
	RSDP       uint64 // guest-physical address of the ACPI tables' root; 0: none
}

// Protocol is how a kernel is started.
type Protocol uint8

// The protocols.
const (
	// PVH: 32-bit protected mode, paging off, RBX points to the start info.
	PVH Protocol = iota + 1
	// Linux64: 64-bit mode, RSI points to the zero page.
	Linux64
)

// Entry is where and how the first vCPU starts. All but Protocol are
// guest-physical addresses; those that the protocol lacks are 0.
type Entry struct {
	Protocol   Protocol
	RIP        uint64
	StartInfo  uint64 // for RBX
	ZeroPage   uint64 // for RSI
	PageTables uint64 // for CR3: the first 3 GiB one to one
	GDT        uint64 // null, null, flat 64-bit code, flat data
}

// Load copies the kernel, the initrd and what the kernel is told to guest memory.
// Memory that stays zero is not written. The errors are ErrTooBig and
// ErrTruncated, and those of memory and readers.
func (k *Kernel) Load(m Memory, o Options) (Entry, error) {
	if len(o.Layout) == 0 {
		return Entry{}, fmt.Errorf("%w: no memory", ErrTooBig)
	}
	if len(o.Cmdline) >= MaxCmdline || k.setup != nil && uint64(len(o.Cmdline)) > k.setup.cmdlineMax {
		return Entry{}, fmt.Errorf("command line of %d bytes: %w", len(o.Cmdline), ErrTooBig)
	}
	segments, entry, err := k.place(o.Layout)
	if err != nil {
		return Entry{}, err
	}
	initrd, err := k.placeInitrd(segments, o)
	if err != nil {
		return Entry{}, err
	}
	if o.Initrd != nil && initrd.Size > 0 {
		if err := copyTo(m, o.Initrd, 0, initrd.Size, initrd.GPA); err != nil {
			return Entry{}, fmt.Errorf("initrd: %w", err)
		}
	}
	if err := k.copySegments(m, segments); err != nil {
		return Entry{}, fmt.Errorf("kernel: %w", err)
	}
	if err := m.WriteAt(append([]byte(o.Cmdline), 0), cmdlineAddr); err != nil {
		return Entry{}, err
	}
	if k.setup == nil {
		return Entry{Protocol: PVH, RIP: entry, StartInfo: startInfoAddr}, writeStartInfo(m, o, initrd)
	}
	if err := writeLongMode(m); err != nil {
		return Entry{}, err
	}
	e := Entry{Protocol: Linux64, RIP: entry, ZeroPage: zeroPageAddr, PageTables: tablesAddr, GDT: gdtAddr}
	return e, m.WriteAt(k.setup.zeroPage(o, initrd), zeroPageAddr)
}

// place returns where the segments go, and the entry. A kernel that unpacks
// itself goes as low as it may where the place that it prefers is not RAM.
func (k *Kernel) place(l guestmem.Layout) ([]segment, uint64, error) {
	fits := func(s segment) bool { return s.size == 0 || inside(l, s.gpa, s.size) }
	segments, entry := k.segments, k.entry
	if k.setup != nil && k.setup.relocatable && !fits(segments[0]) {
		s := segments[0]
		entry -= s.gpa
		s.gpa = alignUp(max(firmware.TablesEnd, k.setup.alignment), k.setup.alignment)
		entry += s.gpa
		segments = []segment{s}
	}
	for _, s := range segments {
		if !fits(s) {
			return nil, 0, fmt.Errorf("segment of %d bytes at %#x: %w", s.size, s.gpa, ErrTooBig)
		}
	}
	return segments, entry, nil
}

// placeInitrd returns the place of the initrd, at the top of what is below 4 GiB
// and reachable, behind the kernel.
func (k *Kernel) placeInitrd(segments []segment, o Options) (guestmem.Range, error) {
	if o.Initrd == nil || o.InitrdSize <= 0 {
		return guestmem.Range{}, nil
	}
	size := uint64(o.InitrdSize)
	low := o.Layout[0].End()
	end := uint64(firmware.TablesEnd)
	for _, s := range segments {
		if s.end() <= low {
			end = max(end, s.end())
		}
	}
	if k.setup != nil {
		low = min(low, k.setup.initrdMax+1)
	}
	if size > low || (low-size)&^(guestmem.PageSize-1) < end {
		return guestmem.Range{}, fmt.Errorf("initrd of %d bytes beside the kernel: %w", size, ErrTooBig)
	}
	return guestmem.Range{GPA: (low - size) &^ (guestmem.PageSize - 1), Size: size}, nil
}

// copySegments copies the segments, in the order of the file.
func (k *Kernel) copySegments(m Memory, segments []segment) error {
	if k.packed != nil {
		if err := k.packed.rewind(); err != nil {
			return err
		}
	}
	for _, s := range segments {
		if err := copyTo(m, k.r, s.offset, s.bytes, s.gpa); err != nil {
			return err
		}
	}
	if k.packed != nil {
		return k.packed.finish()
	}
	return nil
}

// inside tells whether [gpa, gpa+size) is RAM that a kernel may use.
func inside(l guestmem.Layout, gpa, size uint64) bool {
	if gpa < lowEnd {
		return false
	}
	for _, r := range memoryMap(l) {
		if r.kind == ram && gpa >= r.GPA && size <= r.Size && gpa-r.GPA <= r.Size-size {
			return true
		}
	}
	return false
}

// alignUp rounds n up to a multiple of unit, if that is a power of two.
func alignUp(n, unit uint64) uint64 {
	if unit&(unit-1) != 0 {
		return n
	}
	return (n + unit - 1) &^ (unit - 1)
}
