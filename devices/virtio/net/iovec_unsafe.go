package net

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// vector is a list of pieces of memory for one call: guest memory, most of it,
// of which the collector knows nothing and that a driver keeps until the device
// is stopped. x/sys/unix has calls of the same kind, which allocate.
type vector []unix.Iovec

// add appends a piece that is not empty.
func (v vector) add(p []byte) vector {
	// SAFETY: only the address of the first byte is taken; its length goes beside it.
	return append(v, unix.Iovec{Base: unsafe.SliceData(p), Len: uint64(len(p))})
}

// readv is the system call, done again when a signal interrupted it.
// Precondition: v is not empty.
func (v vector) readv(fd int) (int, error) { return v.call(unix.SYS_READV, fd) }

// writev is likewise.
func (v vector) writev(fd int) (int, error) { return v.call(unix.SYS_WRITEV, fd) }

// call does not tell Go's scheduler: a tap never blocks, and a thread that is
// always in some system call would have the scheduler's monitor look after it
// every 20 us.
func (v vector) call(number uintptr, fd int) (int, error) {
	for {
		// SAFETY: v and what it points to live until the call returns: v holds the pointers.
		n, _, errno := unix.RawSyscall(number, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(v))), uintptr(len(v)))
		if errno == 0 {
			return int(n), nil
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}
