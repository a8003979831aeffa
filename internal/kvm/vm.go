package kvm

import (
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// VM is a virtual machine: memory slots, interrupt controllers, timers and clock.
type VM struct {
	sys   *System
	fd    int
	close func() error // once

	mu          sync.Mutex         // guards the two below
	ringEntries int                // of each vCPU's dirty ring; 0: there is none
	rings       map[int]*dirtyRing // by vCPU

	collected atomic.Int64 // entries of the rings that were collected and not reset
}

func newVM(s *System, fd int) *VM {
	return &VM{sys: s, fd: fd, close: sync.OnceValue(func() error {
		return closeFD("VM", fd)
	})}
}

// closeFD closes a descriptor and names it in the error.
func closeFD(name string, fd int) error {
	if err := unix.Close(fd); err != nil {
		return fmt.Errorf("close %s: %w", name, err)
	}
	return nil
}

// Close closes the VM. The kernel destroys it when its vCPUs are closed too. Closing again does nothing.
func (v *VM) Close() error { return v.close() }

// CheckExtension asks the VM for a capability; the answer can differ from the system's.
func (v *VM) CheckExtension(c Cap) (Support, int) { return probe(v.fd, c) }

// enableCap is struct kvm_enable_cap.
type enableCap struct {
	Cap, Flags uint32
	Args       [4]uint64
	Pad        [64]uint8
}

// EnableCap turns a capability on for this VM.
func (v *VM) EnableCap(c Cap, args ...uint64) error {
	e := enableCap{Cap: uint32(c)}
	if copy(e.Args[:], args) != len(args) {
		return fmt.Errorf("KVM_ENABLE_CAP %v: %d arguments: %w", c, len(args), unix.E2BIG)
	}
	_, errno := ioctl(v.fd, reqEnableCap, unsafe.Pointer(&e))
	if errno != 0 {
		return fmt.Errorf("KVM_ENABLE_CAP %v: %w", c, errno)
	}
	return nil
}

// SetTSSAddr places the three pages that VMX without unrestricted guest needs, in a hole of the guest's memory below 4 GiB.
func (v *VM) SetTSSAddr(gpa uint32) error {
	_, errno := ioctlValue(v.fd, reqSetTSSAddr, uintptr(gpa))
	return check("KVM_SET_TSS_ADDR", errno)
}

// SetIdentityMapAddr places the one-page identity map that the same hosts need. It must come before the first vCPU.
func (v *VM) SetIdentityMapAddr(gpa uint64) error {
	_, errno := ioctl(v.fd, reqSetIdentityMapAddr, unsafe.Pointer(&gpa))
	return check("KVM_SET_IDENTITY_MAP_ADDR", errno)
}
