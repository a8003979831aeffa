package blk

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// readv and writev are preadv2 and pwritev2 on iovecs that are there already:
// those of golang.org/x/sys make them anew for each call.
//
// Precondition: vec is not empty.

func readv(fd int, vec []unix.Iovec, offset int64) int32 {
	// SAFETY: the kernel reads len(vec) iovecs, whose buffers vec keeps alive, during the call.
	n, _, errno := unix.Syscall6(unix.SYS_PREADV2, uintptr(fd), uintptr(unsafe.Pointer(&vec[0])), uintptr(len(vec)), uintptr(offset), 0, 0)
	return count(n, errno)
}

func writev(fd int, vec []unix.Iovec, offset int64, flags uint32) int32 {
	// SAFETY: as in readv.
	n, _, errno := unix.Syscall6(unix.SYS_PWRITEV2, uintptr(fd), uintptr(unsafe.Pointer(&vec[0])), uintptr(len(vec)), uintptr(offset), 0, uintptr(flags))
	return count(n, errno)
}

// count is the result of a transfer, which the kernel keeps below 2 GiB.
func count(n uintptr, errno unix.Errno) int32 {
	if errno != 0 {
		return -int32(errno)
	}
	return int32(n)
}

// result is that of an operation that moves no bytes.
func result(err error) int32 {
	var errno unix.Errno
	if err == nil {
		return 0
	}
	if !errors.As(err, &errno) {
		errno = unix.EIO
	}
	return -int32(errno)
}
