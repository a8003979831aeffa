package blk_test

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// bytesOf is the memory that the kernel would use.
func bytesOf(v unix.Iovec) []byte {
	// SAFETY: the vector describes memory of the fake guest.
	return unsafe.Slice(v.Base, v.Len)
}
