package kvm

import (
	"fmt"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dirtyPageOffset is KVM_DIRTY_LOG_PAGE_OFFSET: the page of a vCPU's mapping where its dirty ring begins.
const dirtyPageOffset = 64

// Flags of a dirtyEntry. The kernel sets the first, user space the second, and KVM_RESET_DIRTY_RINGS clears both.
const (
	dirtyEntryDirty uint32 = 1 << 0 // KVM_DIRTY_GFN_F_DIRTY
	dirtyEntryReset uint32 = 1 << 1 // KVM_DIRTY_GFN_F_RESET
)

// dirtyEntry is struct kvm_dirty_gfn.
type dirtyEntry struct {
	flags, slot uint32
	offset      uint64
}

const dirtyEntrySize = int(unsafe.Sizeof(dirtyEntry{}))

// dirtyRing is the ring of one vCPU.
type dirtyRing struct {
	mu      sync.Mutex // guards the fields below, against collecting while the vCPU is closed
	mem     []byte
	entries []dirtyEntry // in mem; nil once unmapped
	next    uint32       // where collecting goes on; wraps by itself, since the length is a power of two
}

// EnableDirtyRing gives each vCPU a ring of that many entries, a power of two, in which KVM logs the pages that it writes, in place
// of the log that DirtyLog reads. It must come before the first vCPU and cannot be undone. A ring that is nearly full makes Run
// return with ExitDirtyRingFull. ErrNotSupported: this KVM has none, or none of that size; use the other log.
// See "KVM_CAP_DIRTY_LOG_RING" in the kernel's Documentation/virt/kvm/api.rst.
func (v *VM) EnableDirtyRing(entries int) error {
	if entries <= 0 || bits.OnesCount(uint(entries)) != 1 {
		return fmt.Errorf("dirty ring of %d entries: %w", entries, unix.EINVAL)
	}
	c := CapDirtyLogRingAcqRel // the kernel's name for: the flags are read and written in acquire and release order, as below
	support, largest := v.CheckExtension(c)
	if support != Yes {
		c = CapDirtyLogRing // of older kernels, on x86 only, whose memory order is as strong by itself
		support, largest = v.CheckExtension(c)
	}
	size := entries * dirtyEntrySize
	if support != Yes || size > largest {
		return fmt.Errorf("dirty ring of %d entries: %w", entries, ErrNotSupported)
	}
	if err := v.EnableCap(c, uint64(size)); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ringEntries = entries
	return nil
}

// CollectDirty takes what is new in the ring of one vCPU, oldest first, and returns how many entries there were; 0 for a vCPU
// that does not exist, or no more. page gets each one's slot and its page's number in that slot. A page may come
// again and again. Until ResetDirtyRings it can also be written without being logged: who reads it must call that first.
func (v *VM) CollectDirty(cpu int, page func(slot uint32, page uint64)) int {
	v.mu.Lock()
	r := v.rings[cpu]
	v.mu.Unlock()
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for n := range r.entries {
		e := &r.entries[r.next%uint32(len(r.entries))]
		// Acquire: slot and offset are there when the flag is.
		if atomic.LoadUint32(&e.flags) != dirtyEntryDirty {
			return n
		}
		page(e.slot, e.offset)
		v.collected.Add(1)
		atomic.StoreUint32(&e.flags, dirtyEntryReset) // release: they have been read
		r.next++
	}
	return len(r.entries)
}

// ResetDirtyRings protects every page that was collected, of whichever vCPU, so that the next write to it is logged again, and
// makes room for that. If it is not whole, some of the pages are not protected, and nothing short of switching their slots' logs off and on
// protects them. After an error nothing has changed. CollectDirty must not be called at the same time.
//
// A kernel from 6.16 on lets a signal end the call, forgets up to 64 entries that it had begun with, and reports a success: only the number
// of entries tells. So signals, by which Go preempts its threads, are kept away; what cannot be kept away is SIGSTOP and its like.
func (v *VM) ResetDirtyRings() (whole bool, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, before unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, &before); err != nil {
		return false, fmt.Errorf("block signals: %w", err)
	}
	defer func() {
		// It cannot fail where blocking did not.
		_ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil)
	}()
	whole = true
	for range maxResets {
		n, errno := ioctlValue(v.fd, reqResetDirtyRings, 0)
		if errno != 0 {
			return false, check("KVM_RESET_DIRTY_RINGS", errno)
		}
		if v.collected.Add(-int64(n)) <= 0 {
			return whole, nil
		}
		whole = false // the rest must go, too: its vCPU waits for room
	}
	return false, fmt.Errorf("KVM_RESET_DIRTY_RINGS: %d entries are not taken back", v.collected.Load())
}

// maxResets bounds the attempts at one reset.
const maxResets = 1000

// mapRing maps the ring of a new vCPU, if the VM's have one.
func (v *VM) mapRing(c *VCPU) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ringEntries == 0 {
		return nil
	}
	mem, err := unix.Mmap(c.fd, int64(dirtyPageOffset*unix.Getpagesize()), v.ringEntries*dirtyEntrySize,
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map the dirty ring of vCPU %d: %w", c.id, err)
	}
	// SAFETY: the mapping is page-aligned, holds exactly so many entries, and lives until unmap, which forgets the slice.
	entries := unsafe.Slice((*dirtyEntry)(unsafe.Pointer(&mem[0])), v.ringEntries)
	if v.rings == nil {
		v.rings = make(map[int]*dirtyRing)
	}
	v.rings[c.id] = &dirtyRing{mem: mem, entries: entries}
	return nil
}

// unmapRing ends what mapRing began.
func (v *VM) unmapRing(id int) error {
	v.mu.Lock()
	r := v.rings[id]
	delete(v.rings, id)
	v.mu.Unlock()
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	mem := r.mem
	r.mem, r.entries = nil, nil
	if err := unix.Munmap(mem); err != nil {
		return fmt.Errorf("unmap the dirty ring of vCPU %d: %w", id, err)
	}
	return nil
}
