package guestmem

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// Slots is what guest memory needs of a KVM virtual machine that nobody tracks.
type Slots interface {
	// SetMemoryRegion creates or changes slot; flags are KVM_MEM_*. The same gpa, size and hva change only the flags.
	SetMemoryRegion(slot, flags uint32, gpa, size uint64, hva uintptr) error
}

// VM is a virtual machine that logs what its guest writes in a bitmap.
type VM interface {
	Slots
	// DirtyLog fills bitmap, one bit a page, whole slot. On a VM without manual protection it also clears the log.
	DirtyLog(slot uint32, bitmap []uint64) error
	// ClearDirtyLog clears the pages set in bitmap, whose bit 0 is firstPage, and protects them again. firstPage and
	// pages are multiples of 64.
	ClearDirtyLog(slot uint32, firstPage uint64, pages uint32, bitmap []uint64) error
}

// RingVM is a virtual machine that logs what its guest writes in a ring for each vCPU.
type RingVM interface {
	Slots
	// CollectDirty takes what is in a vCPU's ring and returns the number of entries. What it took can be written without being
	// logged until ResetDirtyRings.
	CollectDirty(cpu int, page func(slot uint32, page uint64)) int
	// ResetDirtyRings protects all pages that CollectDirty took, or not the whole of them: then only switching the log off and on does.
	ResetDirtyRings() (whole bool, err error)
}

// memLogDirtyPages is KVM_MEM_LOG_DIRTY_PAGES.
const memLogDirtyPages = 1

// Memory is a guest's RAM. Its methods may be called from several goroutines, Close excepted.
type Memory struct {
	layout  Layout
	regions []*region

	// pull is there while pages may be missing: who looks at memory asks it first.
	pull atomic.Pointer[Pull]

	sharing       sync.Mutex // guards the next
	registrations []*Registration

	// mu guards the fields below and the regions' present bits. It is held for at most one chunk's worth of work.
	mu      sync.Mutex
	vm      Slots
	log     dirtyLog // of vm; nil without one: only our own writes are tracked
	tracker *Tracker
	closed  bool
}

// New allocates no page: it makes the memfds and mappings for layout. Errors: ErrLayout, or the system call's.
func New(layout Layout) (*Memory, error) { return newMemory(layout, 1) }

// NewHuge is New with huge pages of 2 MiB, which it reserves: they are the guest's until Close. Errors: ErrLayout also for
// what is not in whole huge pages, ErrNoHugePages, or the system call's.
func NewHuge(layout Layout) (*Memory, error) { return newMemory(layout, hugePages) }

func newMemory(layout Layout, unit uint64) (*Memory, error) {
	if err := layout.Validate(); err != nil {
		return nil, err
	}
	for _, rg := range layout {
		if rg.GPA%(unit*PageSize) != 0 || rg.Size%(unit*PageSize) != 0 {
			return nil, fmt.Errorf("%w: [%#x, +%#x) is not in whole pages of 2 MiB", ErrLayout, rg.GPA, rg.Size)
		}
	}
	m := &Memory{layout: slices.Clone(layout)}
	for i, rg := range m.layout {
		r, err := newRegion(i, rg, unit)
		if err != nil {
			return nil, errors.Join(err, m.Close())
		}
		m.regions = append(m.regions, r)
	}
	return m, nil
}

// Layout returns a copy of the layout.
func (m *Memory) Layout() Layout { return slices.Clone(m.layout) }

// Size is the configured memory, in bytes.
func (m *Memory) Size() uint64 { return m.layout.Size() }

// DataBytes is the memory that is not a hole, in bytes.
func (m *Memory) DataBytes() (uint64, error) {
	var n uint64
	for _, r := range m.regions {
		pages, err := r.dataPages()
		if err != nil {
			return 0, err
		}
		n += pages * PageSize
	}
	return n, nil
}

// Attach gives the guest mapping to a VM whose dirty log is cleared by hand (KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2), region
// i in slot i. Error: ErrAttached, or the VM's.
func (m *Memory) Attach(vm VM) error { return m.attach(vm, &bitmapLog{vm: vm}) }

// AttachPlain is Attach for a VM whose dirty log is cleared by reading it, because manual protection was not enabled.
func (m *Memory) AttachPlain(vm VM) error { return m.attach(vm, &bitmapLog{vm: vm, plain: true}) }

func (m *Memory) attach(vm Slots, log dirtyLog) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return ErrClosed
	case m.vm != nil:
		return ErrAttached
	case m.tracker != nil:
		return ErrTracking // its rounds would miss what the guest writes
	}
	for i, r := range m.regions {
		if err := vm.SetMemoryRegion(r.slot, 0, r.GPA, r.Size, r.guest.address); err != nil {
			err = fmt.Errorf("give guest memory to the VM, slot %d: %w", r.slot, err)
			for _, r := range m.regions[:i] { // size 0 deletes a slot
				err = errors.Join(err, vm.SetMemoryRegion(r.slot, 0, r.GPA, 0, 0))
			}
			return err
		}
	}
	m.vm, m.log = vm, log
	return nil
}

// Close unmaps and frees everything; calling it again does nothing. Every slice handed out is invalid from then on.
//
// Precondition: the VM is closed, and no other call is in progress.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	var errs []error
	if p := m.pull.Load(); p != nil {
		errs = append(errs, p.Close())
	}
	for _, r := range m.regions {
		errs = append(errs, r.close())
	}
	return errors.Join(errs...)
}

// find returns the region that holds all of [gpa, gpa+size), and gpa's offset in it.
func (m *Memory) find(gpa, size uint64) (*region, uint64, error) {
	for _, r := range m.regions {
		if gpa >= r.GPA && gpa-r.GPA < r.Size && size <= r.Size-(gpa-r.GPA) {
			return r, gpa - r.GPA, nil
		}
	}
	return nil, 0, fmt.Errorf("%w: [%#x, +%#x)", ErrOutside, gpa, size)
}

// findPages is find for whole pages, at least one.
func (m *Memory) findPages(gpa, size uint64) (*region, uint64, error) {
	if gpa%PageSize != 0 || size%PageSize != 0 || size == 0 {
		return nil, 0, fmt.Errorf("%w: [%#x, +%#x)", ErrAlign, gpa, size)
	}
	return m.find(gpa, size)
}
