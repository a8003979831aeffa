package uring

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrMemlock means that this process may not pin so much memory (RLIMIT_MEMLOCK, or none is left). The caller copies instead.
var ErrMemlock = errors.New("the limit of locked memory is too low")

// MaxBuffer is the most that one registered buffer can have, in bytes.
const MaxBuffer = 1 << 30

// MakeBuffers makes a table of so many registered buffers, which are empty.
//
// Precondition: called once, on the ring's thread.
func (r *Ring) MakeBuffers(slots uint32) error {
	b := rsrcRegister{nr: slots, flags: rsrcSparse}
	// SAFETY: b is the struct that the call reads, and stays in place for it.
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), registerBuffers2, uintptr(unsafe.Pointer(&b)), unsafe.Sizeof(b), 0, 0)
	if errno != 0 {
		return fmt.Errorf("%w: a table of %d buffers: %w", ErrUnavailable, slots, errno)
	}
	return nil
}

// SetBuffer registers p in a slot of the table, whose pages are faulted in and pinned; nil empties the slot, once what is under way has ended. Errors: ErrMemlock.
//
// Preconditions: len(p) ≤ MaxBuffer; on the ring's thread; p stays mapped as long as it is registered.
func (r *Ring) SetBuffer(slot uint32, p []byte) error {
	iov := unix.Iovec{}
	if len(p) > 0 {
		iov.Base = &p[0]
		iov.SetLen(len(p))
	}
	at := unsafe.Pointer(&iov)
	// SAFETY: iov is on the heap, for a Pinner pins it, and stays in place for the call, which copies it. What it points to is mapped (precondition).
	var pin runtime.Pinner
	pin.Pin(&iov)
	defer pin.Unpin()
	u := rsrcUpdate2{offset: slot, data: uint64(uintptr(at)), nr: 1}
	// SAFETY: u is the struct that the call reads, and stays in place for it.
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), registerBuffersUpdate, uintptr(unsafe.Pointer(&u)), unsafe.Sizeof(u), 0, 0)
	switch {
	case errno == 0:
		return nil
	case errors.Is(errno, unix.ENOMEM):
		return fmt.Errorf("%w: %d bytes: %w", ErrMemlock, len(p), errno)
	}
	return fmt.Errorf("io_uring: register a buffer of %d bytes: %w", len(p), errno)
}
