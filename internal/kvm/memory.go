package kvm

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Flags of [VM.SetMemoryRegion].
const (
	MemLogDirtyPages uint32 = 1 << 0
	MemReadonly      uint32 = 1 << 1
)

// Flags of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2.
const (
	manualProtectEnable  = 1 << 0
	dirtyLogInitiallySet = 1 << 1
)

// memoryRegion is struct kvm_userspace_memory_region.
type memoryRegion struct {
	Slot, Flags               uint32
	GuestPhysAddr, MemorySize uint64
	UserspaceAddr             uint64
}

// SetMemoryRegion creates, changes (flags only) or deletes (size 0) a memory slot of size bytes at guest address gpa, backed
// by this process's memory at hva, which must stay mapped as long as the slot exists.
func (v *VM) SetMemoryRegion(slot, flags uint32, gpa, size uint64, hva uintptr) error {
	r := memoryRegion{Slot: slot, Flags: flags, GuestPhysAddr: gpa, MemorySize: size, UserspaceAddr: uint64(hva)}
	_, errno := ioctl(v.fd, reqSetUserMemoryRegion, unsafe.Pointer(&r))
	if errno != 0 {
		return fmt.Errorf("KVM_SET_USER_MEMORY_REGION slot %d, [%#x, %#x): %w", slot, gpa, gpa+size, errno)
	}
	return nil
}

// dirtyLog is struct kvm_dirty_log.
type dirtyLog struct {
	Slot, Pad uint32
	Bitmap    unsafe.Pointer
}

// clearDirtyLog is struct kvm_clear_dirty_log.
type clearDirtyLog struct {
	Slot, NumPages uint32
	FirstPage      uint64
	Bitmap         unsafe.Pointer
}

// DirtyLog reads which pages of a slot were written, one bit a page, bit 0 of word 0 first. The bitmap must cover the whole
// slot. Without manual protection it also clears the log. A slot that is not logged is an error (ENOENT), never a clean slot.
func (v *VM) DirtyLog(slot uint32, bitmap []uint64) error {
	if len(bitmap) == 0 {
		return fmt.Errorf("KVM_GET_DIRTY_LOG slot %d: empty bitmap: %w", slot, unix.EINVAL)
	}
	// SAFETY: the struct holds the bitmap as a pointer, never as an integer, so whatever moves or frees memory sees it.
	d := dirtyLog{Slot: slot, Bitmap: unsafe.Pointer(&bitmap[0])}
	_, errno := ioctl(v.fd, reqGetDirtyLog, unsafe.Pointer(&d))
	runtime.KeepAlive(bitmap)
	if errno != 0 {
		return fmt.Errorf("KVM_GET_DIRTY_LOG slot %d: %w", slot, errno)
	}
	return nil
}

// ClearDirtyLog clears the set bits of bitmap (bit 0 is firstPage, a multiple of 64) and write-protects those pages again.
// pages is a multiple of 64 or reaches the end of the slot. Needs manual protection.
func (v *VM) ClearDirtyLog(slot uint32, firstPage uint64, pages uint32, bitmap []uint64) error {
	if uint64(len(bitmap))*64 < uint64(pages) || len(bitmap) == 0 {
		return fmt.Errorf("KVM_CLEAR_DIRTY_LOG slot %d: bitmap of %d words for %d pages: %w", slot, len(bitmap), pages, unix.EINVAL)
	}
	// SAFETY: as in DirtyLog.
	c := clearDirtyLog{Slot: slot, NumPages: pages, FirstPage: firstPage, Bitmap: unsafe.Pointer(&bitmap[0])}
	_, errno := ioctl(v.fd, reqClearDirtyLog, unsafe.Pointer(&c))
	runtime.KeepAlive(bitmap)
	if errno != 0 {
		return fmt.Errorf("KVM_CLEAR_DIRTY_LOG slot %d, page %d+%d: %w", slot, firstPage, pages, errno)
	}
	return nil
}

// EnableManualDirtyProtect makes DirtyLog a pure read and ClearDirtyLog the only way to clear. initiallySet says that a slot
// whose logging starts has all bits set and nothing write-protected. ErrNotSupported: use the log that clears as it reads.
func (v *VM) EnableManualDirtyProtect() (initiallySet bool, err error) {
	support, flags := v.CheckExtension(CapManualDirtyProtect2)
	if support != Yes {
		return false, fmt.Errorf("manual dirty log protection: %w", ErrNotSupported)
	}
	want := uint64(manualProtectEnable)
	if flags&dirtyLogInitiallySet != 0 {
		want |= dirtyLogInitiallySet
	}
	if err := v.EnableCap(CapManualDirtyProtect2, want); err != nil {
		return false, err
	}
	return want&dirtyLogInitiallySet != 0, nil
}
