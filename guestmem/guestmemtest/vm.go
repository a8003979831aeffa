// Package guestmemtest has a fake VM for tests of what uses guest memory.
package guestmemtest

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/guestmem"
)

// Mode is how the fake VM's dirty log behaves.
type Mode int

const (
	Plain        Mode = iota // reading the log clears it
	Manual                   // ClearDirtyLog clears it
	InitiallySet             // the same, and it starts with every bit set
	Ring                     // no such log: a ring for each of two vCPUs
)

// VM is a fake virtual machine: a dirty log as KVM keeps it, and a guest that writes. Its methods may be called from several goroutines.
type VM struct {
	// Hook, if set, is called without a lock before and after each read or clear of the log, which may be the worst
	// moment for a guest to write. Set it before use.
	Hook func()
	// Fail, if set, is asked before each call; an error is returned in its stead. Set it before use.
	Fail func(call string) error

	// Tear, if set, is asked at each reset of the rings whether no page is to be protected. Set it before use.
	Tear func() bool
	// RingEntries is what a ring can hold: 65536 unless set before use. A guest whose ring is full empties it itself.
	RingEntries int

	mode Mode
	full *guestmem.Rings

	mu       sync.Mutex // guards what follows, and makes a guest's write and its mark one step
	slots    map[uint32]*slot
	mistakes []error
	rings    [fakeCPUs]ring
	cpu      int // that writes next
}

type slot struct {
	gpa, size uint64
	hva       uintptr
	mem       []byte
	log, read []uint64 // the dirty log, nil when off, and the bits user space has read since it cleared them; with rings a page in log can be written unseen
}

var (
	_ guestmem.VM     = (*VM)(nil)
	_ guestmem.RingVM = (*VM)(nil)
)

// NewVM makes a VM without memory.
func NewVM(mode Mode) *VM { return &VM{RingEntries: 1 << 16, mode: mode, slots: map[uint32]*slot{}} }

// Attach attaches m in the VM's mode.
func (v *VM) Attach(m *guestmem.Memory) error {
	if v.mode == Plain {
		return m.AttachPlain(v)
	}
	if v.mode == Ring {
		var err error
		v.full, err = m.AttachRings(v, fakeCPUs, v.RingEntries)
		return err
	}
	return m.Attach(v)
}

// Write is the guest writing p at gpa. It reports an address that is no guest memory.
func (v *VM) Write(p []byte, gpa uint64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.cpu = (v.cpu + 1) % fakeCPUs
	for id, s := range v.slots {
		if gpa < s.gpa || gpa-s.gpa+uint64(len(p)) > s.size {
			continue
		}
		off := gpa - s.gpa
		for n := 0; n < len(p); {
			at := off + uint64(n)
			page := at / guestmem.PageSize
			if v.mode == Ring {
				if err := v.push(id, page); err != nil {
					return err
				}
				s = v.slots[id]
			}
			if s.log != nil {
				s.log[page/64] |= 1 << (page % 64)
			}
			n += copy(s.mem[at:min(s.size, (page+1)*guestmem.PageSize)], p[n:])
		}
		return nil
	}
	return fmt.Errorf("guest write to [%#x, +%#x): no such memory", gpa, len(p))
}

// Load fills p with what the guest reads at gpa. It is a system call that touches the guest mapping, so that a page fault is
// nothing that Go code waits in.
func (v *VM) Load(p []byte, gpa uint64) error { return v.touch(unix.ProcessVMReadv, p, gpa) }

// Store is Write as Load is to reading; the dirty log does not learn of it.
func (v *VM) Store(p []byte, gpa uint64) error { return v.touch(unix.ProcessVMWritev, p, gpa) }

func (v *VM) touch(call func(int, []unix.Iovec, []unix.RemoteIovec, uint) (int, error), p []byte, gpa uint64) error {
	hva, err := v.address(gpa, uint64(len(p)))
	if err != nil {
		return err
	}
	local := []unix.Iovec{{Base: &p[0]}}
	local[0].SetLen(len(p))
	n, err := call(os.Getpid(), local, []unix.RemoteIovec{{Base: hva, Len: len(p)}}, 0)
	if err == nil && n != len(p) {
		err = fmt.Errorf("%d bytes of %d", n, len(p))
	}
	if err != nil {
		return fmt.Errorf("guest access to [%#x, +%#x): %w", gpa, len(p), err)
	}
	return nil
}

// Mapped tells whether the guest mapping has the page at gpa.
func (v *VM) Mapped(gpa uint64) (bool, error) {
	hva, err := v.address(gpa, 1)
	if err != nil {
		return false, err
	}
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return false, err
	}
	defer f.Close()
	var entry [8]byte
	if _, err := f.ReadAt(entry[:], int64(hva/guestmem.PageSize*8)); err != nil {
		return false, err
	}
	return entry[7]&0x80 != 0, nil
}

// address is that of guest memory in the guest mapping.
func (v *VM) address(gpa, size uint64) (uintptr, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.slots {
		if gpa >= s.gpa && gpa-s.gpa+size <= s.size {
			return s.hva + uintptr(gpa-s.gpa), nil
		}
	}
	return 0, fmt.Errorf("guest access to [%#x, +%#x): no such memory", gpa, size)
}

// Mistakes lists what real KVM accepts, but loses changes by.
func (v *VM) Mistakes() []error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.mistakes
}

// Logging tells whether any slot's dirty log is on.
func (v *VM) Logging() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.slots {
		if s.log != nil {
			return true
		}
	}
	return false
}

// SetMemoryRegion implements guestmem.VM.
func (v *VM) SetMemoryRegion(id, flags uint32, gpa, size uint64, hva uintptr) error {
	if err := v.fail("SetMemoryRegion"); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if size == 0 {
		delete(v.slots, id)
		return nil
	}
	s := &slot{gpa: gpa, size: size, hva: hva, mem: memoryAt(hva, size)}
	if flags&1 != 0 {
		words := size / guestmem.PageSize / 64
		s.log, s.read = make([]uint64, words), make([]uint64, words)
		if v.mode == InitiallySet {
			for i := range s.log {
				s.log[i] = ^uint64(0)
			}
		}
	}
	v.slots[id] = s
	return nil
}

// DirtyLog implements guestmem.VM.
func (v *VM) DirtyLog(id uint32, bitmap []uint64) error {
	if err := v.fail("DirtyLog"); err != nil {
		return err
	}
	v.hook()
	defer v.hook()
	v.mu.Lock()
	defer v.mu.Unlock()
	s, err := v.logged(id)
	if err != nil {
		return err
	}
	if len(bitmap) < len(s.log) {
		return fmt.Errorf("dirty log of slot %d: bitmap of %d words; want %d", id, len(bitmap), len(s.log))
	}
	copy(bitmap, s.log)
	copy(s.read, s.log)
	if v.mode == Plain {
		clear(s.log)
	}
	return nil
}

// ClearDirtyLog implements guestmem.VM.
func (v *VM) ClearDirtyLog(id uint32, firstPage uint64, pages uint32, bitmap []uint64) error {
	if err := v.fail("ClearDirtyLog"); err != nil {
		return err
	}
	v.hook()
	defer v.hook()
	v.mu.Lock()
	defer v.mu.Unlock()
	s, err := v.logged(id)
	if err != nil {
		return err
	}
	words := uint64(len(s.log))
	if v.mode == Plain || firstPage%64 != 0 || pages%64 != 0 || firstPage/64+uint64(pages/64) > words || len(bitmap) < int(pages/64) {
		return fmt.Errorf("clear dirty log of slot %d: pages [%d, +%d), %d words: invalid argument", id, firstPage, pages, len(bitmap))
	}
	for i := range uint64(pages / 64) {
		w := firstPage/64 + i
		if unread := bitmap[i] & s.log[w] &^ s.read[w]; unread != 0 {
			v.mistakes = append(v.mistakes, fmt.Errorf("slot %d word %d: cleared bits %#x that nobody has read", id, w, unread))
		}
		s.log[w] &^= bitmap[i]
		s.read[w] &^= bitmap[i]
	}
	return nil
}

// logged wants mu held.
func (v *VM) logged(id uint32) (*slot, error) {
	s := v.slots[id]
	if s == nil || s.log == nil {
		return nil, fmt.Errorf("dirty log of slot %d: no such slot, or not logged", id)
	}
	return s, nil
}

func (v *VM) hook() {
	if v.Hook != nil {
		v.Hook()
	}
}

func (v *VM) fail(call string) error {
	if v.Fail == nil {
		return nil
	}
	return v.Fail(call)
}
