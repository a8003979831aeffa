package guestmem

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// VM is what guest memory needs of a KVM virtual machine.
type VM interface {
	// SetMemoryRegion creates or changes slot; flags are KVM_MEM_*. The same gpa, size and hva change only the flags.
	SetMemoryRegion(slot, flags uint32, gpa, size uint64, hva uintptr) error
	// DirtyLog fills bitmap, one bit a page, whole slot. On a VM without manual protection it also clears the log.
	DirtyLog(slot uint32, bitmap []uint64) error
	// ClearDirtyLog clears the pages set in bitmap, whose bit 0 is firstPage, and protects them again. firstPage and
	// pages are multiples of 64.
	ClearDirtyLog(slot uint32, firstPage uint64, pages uint32, bitmap []uint64) error
}

// memLogDirtyPages is KVM_MEM_LOG_DIRTY_PAGES.
const memLogDirtyPages = 1

// logMode is how a VM's dirty log behaves. KVM cannot change it once a vCPU exists.
type logMode int

const (
	logNone       logMode = iota // no VM: only our own writes are tracked
	logPlain                     // reading the log clears it and protects every page again
	logManual                    // reading leaves it; pages are cleared, and protected, a chunk at a time
	logManualOnes                // the same, and it starts with every bit set and nothing protected
)

// Memory is a guest's RAM. Its methods may be called from several goroutines, Close excepted.
type Memory struct {
	layout  Layout
	regions []*region

	// pull is there while pages may be missing: who looks at memory asks it first.
	pull atomic.Pointer[Pull]

	// mu guards the fields below and the regions' present bits. It is held for at most one chunk's worth of work.
	mu      sync.Mutex
	vm      VM
	mode    logMode
	tracker *Tracker
	closed  bool
}

// New allocates no page: it makes the memfds and mappings for layout. Errors: ErrLayout, or the system call's.
func New(layout Layout) (*Memory, error) {
	if err := layout.Validate(); err != nil {
		return nil, err
	}
	m := &Memory{layout: slices.Clone(layout)}
	for i, rg := range m.layout {
		r, err := newRegion(i, rg)
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

// DataBytes is the memory that is not a hole, in bytes. It walks the files: about 10 ns a page of data.
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
// i in slot i. initiallySet says that the log of a slot starts with every bit set. Error: ErrAttached, or the VM's.
func (m *Memory) Attach(vm VM, initiallySet bool) error {
	if initiallySet {
		return m.attach(vm, logManualOnes)
	}
	return m.attach(vm, logManual)
}

// AttachPlain is Attach for a VM whose dirty log is cleared by reading it, because manual protection was not enabled.
func (m *Memory) AttachPlain(vm VM) error { return m.attach(vm, logPlain) }

func (m *Memory) attach(vm VM, mode logMode) error {
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
	m.vm, m.mode = vm, mode
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
