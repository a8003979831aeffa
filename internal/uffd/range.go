package uffd

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// RegisterMinor makes faults on [address, address+size), a shared mapping of a memfd, come as messages: on pages that the file
// has and the mapping does not. Error: ErrUnavailable where this memory cannot be served.
func (u *FD) RegisterMinor(address, size uintptr) error { return u.register(address, size, modeMinor) }

// Register is RegisterMinor also for pages that the file does not have. What is registered for the one can be for the other.
func (u *FD) Register(address, size uintptr) error {
	return u.register(address, size, modeMissing|modeMinor)
}

func (u *FD) register(address, size uintptr, mode uint64) error {
	arg := registerArg{rangeArg: rangeArg{uint64(address), uint64(size)}, mode: mode}
	// SAFETY: the argument of this request is a struct uffdio_register.
	if errno := ioctl(u.fd, reqRegister, unsafe.Pointer(&arg)); errno != 0 {
		return fmt.Errorf("%w: register %d bytes of memory: %w", ErrUnavailable, size, errno)
	}
	if arg.ioctls&canContinue == 0 {
		return fmt.Errorf("%w: this memory knows no UFFDIO_CONTINUE (ioctls %#x)", ErrUnavailable, arg.ioctls)
	}
	return nil
}

// Unregister undoes Register; who waits for a page touches it again.
func (u *FD) Unregister(address, size uintptr) error {
	return u.simple("unregister", reqUnregister, address, size)
}

// Wake lets those who wait for pages touch them again, whether they are there or not.
func (u *FD) Wake(address, size uintptr) error { return u.simple("wake", reqWake, address, size) }

func (u *FD) simple(name string, req, address, size uintptr) error {
	arg := rangeArg{uint64(address), uint64(size)}
	// SAFETY: the argument of these requests is a struct uffdio_range.
	if errno := ioctl(u.fd, req, unsafe.Pointer(&arg)); errno != 0 {
		return fmt.Errorf("userfaultfd: %s %d bytes: %w", name, size, errno)
	}
	return nil
}

// Continue maps pages that the file has, and wakes those who wait for them. It returns how many bytes it has mapped; an
// error is about the page behind these: ErrMapped, ErrHole, or the system's.
func (u *FD) Continue(address, size uintptr) (done uintptr, err error) {
	return u.fill("continue", reqContinue, address, size)
}

// Zeropage puts zeros where the file has no page, maps them, and wakes those who wait. Huge pages cannot do it. It returns
// how many bytes it has mapped; an error is about the page behind these: ErrMapped if the file has it, or the system's.
func (u *FD) Zeropage(address, size uintptr) (done uintptr, err error) {
	return u.fill("zeropage", reqZeropage, address, size)
}

func (u *FD) fill(name string, req, address, size uintptr) (done uintptr, err error) {
	for done < size {
		arg := fillArg{rangeArg: rangeArg{uint64(address + done), uint64(size - done)}}
		errno := ioctl(u.fd, req, unsafe.Pointer(&arg)) // SAFETY: these requests have arguments of the same shape.
		done += uintptr(max(arg.done, 0))
		switch {
		case errno == 0, errors.Is(errno, unix.EAGAIN): // in part: the next call gives the rest, or the reason
		case errors.Is(errno, unix.EEXIST):
			return done, ErrMapped
		case errors.Is(errno, unix.EFAULT):
			return done, ErrHole
		default:
			return done, fmt.Errorf("userfaultfd: %s %d bytes: %w", name, size, errno)
		}
	}
	return done, nil
}
