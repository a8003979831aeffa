package kvm

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// VCPU is one virtual CPU and the memory it shares with the kernel.
type VCPU struct {
	vm  *VM
	id  int
	fd  int
	mem []byte    // the whole shared mapping: kvm_run, port data, coalesced ring
	run *runState // its first bytes

	xsaveSize int
	sregs2    bool
	msrs      []uint64       // struct kvm_msrs, kept from call to call
	ring      *coalescedRing // in mem, nil if the kernel has none
	close     func() error
}

// CreateVCPU creates the vCPU with this index, which is also its APIC id.
func (v *VM) CreateVCPU(id int) (*VCPU, error) {
	r, errno := ioctlValue(v.fd, reqCreateVCPU, uintptr(id))
	if errno != 0 {
		return nil, fmt.Errorf("KVM_CREATE_VCPU %d: %w", id, errno)
	}
	c := &VCPU{vm: v, id: id, fd: int(r)}
	mem, err := unix.Mmap(c.fd, 0, v.sys.mmapSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		_ = unix.Close(c.fd) // the mapping's error is the one to report
		return nil, fmt.Errorf("map vCPU %d: %w", id, err)
	}
	c.mem = mem
	// SAFETY: the mapping is page-aligned and at least one page, and lives until Close.
	c.run = (*runState)(unsafe.Pointer(&mem[0]))
	if _, n := v.CheckExtension(CapXsave2); n > 0 {
		c.xsaveSize = n
	}
	support, _ := v.CheckExtension(CapSregs2)
	c.sregs2 = support == Yes
	if _, page := v.CheckExtension(CapCoalescedMMIO); page > 0 && (page+1)*unix.Getpagesize() <= len(mem) {
		// SAFETY: the ring starts at a page of the mapping, which the condition has checked.
		c.ring = (*coalescedRing)(unsafe.Pointer(&mem[page*unix.Getpagesize()]))
	}
	c.close = sync.OnceValue(func() error {
		if err := unix.Munmap(mem); err != nil {
			return fmt.Errorf("unmap vCPU %d: %w", id, err)
		}
		return errors.Join(v.unmapRing(id), closeFD("vCPU", c.fd))
	})
	if err := v.mapRing(c); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// ID returns the index the vCPU was created with.
func (c *VCPU) ID() int { return c.id }

// Close unmaps and closes the vCPU. Precondition: no Run is in progress and none follows. Closing again does nothing.
func (c *VCPU) Close() error { return c.close() }

// Run enters the guest until an exit (0, see ExitReason), until a signal or an immediate exit (EINTR), or until a
// vCPU that waited for its INIT or SIPI became runnable (EAGAIN). Anything else is a failure. It gives up the Go
// processor for the time, and does not allocate.
func (c *VCPU) Run() Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(c.fd), reqRun, 0)
	return errno
}

// immediateExit is kvm_run.immediate_exit as part of the struct's first 32-bit word; the other byte in it that means something,
// request_interrupt_window, is always 0 here.
const immediateExit = 1 << 8

// SetImmediateExit makes the next Run finish a pending port or MMIO access and return EINTR without running the guest (on), or lets
// it run again. It may be called from any goroutine; a Run in progress needs a signal too.
func (c *VCPU) SetImmediateExit(on bool) {
	v := uint32(0)
	if on {
		v = immediateExit
	}
	atomic.StoreUint32(&c.run.control, v)
}
