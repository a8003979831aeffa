package kvm

import (
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// paceLoop is real-mode code that counts ECX down and then writes to port 0x10: two instructions a count.
var paceLoop = []byte{
	0x66, 0x49, // dec ecx
	0x75, 0xfc, // jnz back
	0xe6, 0x10, // out 0x10, al
}

// paceCounts is how far it counts.
const paceCounts = 20_000

// Pace measures how long an instruction of a guest's kernel takes here: of the order of 1 ns where the CPU runs it, hundreds where KVM
// interprets it. That a capability claims the one or the other proves nothing.
func (s *System) Pace() (_ time.Duration, err error) {
	runtime.LockOSThread() // a vCPU belongs to the thread that made it
	defer runtime.UnlockOSThread()
	size := uintptr(unix.Getpagesize())
	address, _, errno := unix.Syscall6(unix.SYS_MMAP, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS, ^uintptr(0), 0)
	if errno != 0 {
		return 0, fmt.Errorf("a page for a guest: %w", errno)
	}
	defer unix.Syscall(unix.SYS_MUNMAP, address, size, 0)
	// SAFETY: the kernel has just mapped size bytes at address, where Go's collector has nothing; they stay until this function returns,
	// and the VM is closed before. To read the variable as a pointer is how vet wants that conversion.
	page := unsafe.Slice(*(**byte)(unsafe.Pointer(&address)), size)
	copy(page, paceLoop)
	vm, err := s.CreateVM()
	if err != nil {
		return 0, err
	}
	defer vm.Close()
	if err := vm.SetMemoryRegion(0, 0, 0, uint64(size), address); err != nil {
		return 0, err
	}
	cpu, err := vm.CreateVCPU(0)
	if err != nil {
		return 0, err
	}
	defer cpu.Close()
	var special Sregs2
	if err := cpu.Sregs2(&special); err != nil {
		return 0, err
	}
	special.CS.Base, special.CS.Selector = 0, 0
	if err := cpu.SetSregs2(&special); err != nil {
		return 0, err
	}
	best := time.Hour
	for range 3 { // the host may have something else to do
		if err := cpu.SetRegs(&Regs{RFLAGS: 2, RCX: paceCounts}); err != nil {
			return 0, err
		}
		began := time.Now()
		errno := cpu.Run()
		for errno == unix.EINTR { // a signal of Go's scheduler; the guest ends by itself
			errno = cpu.Run()
		}
		took := time.Since(began)
		if errno != 0 {
			return 0, fmt.Errorf("KVM_RUN: %w", errno)
		}
		if r := cpu.ExitReason(); r != ExitIO {
			return 0, fmt.Errorf("a guest of six bytes ended with %v", r)
		}
		best = min(best, took/(2*paceCounts))
	}
	return best, nil
}
