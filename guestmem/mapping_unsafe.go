package guestmem

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapping is a shared mapping of a memfd. The kernel gives its address as a number, which is what KVM wants to be told.
type mapping struct {
	address uintptr
	bytes   []byte
}

func mapFile(fd int, size uint64) (mapping, error) {
	address, _, errno := unix.Syscall6(unix.SYS_MMAP, 0, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE, uintptr(fd), 0)
	if errno != 0 {
		return mapping{}, fmt.Errorf("map %d bytes of guest memory: %w", size, errno)
	}
	// SAFETY: the kernel has just mapped size bytes at address, where Go's collector has nothing; they stay until unmap,
	// and Memory.Close says that no slice of them may be used from then on. To read the variable as a pointer is how vet
	// wants the conversion of an address that never was a Go pointer.
	m := mapping{address, unsafe.Slice(*(**byte)(unsafe.Pointer(&address)), size)}
	// A core file must neither hold the guest's secrets nor be as large as the guest.
	if err := unix.Madvise(m.bytes, unix.MADV_DONTDUMP); err != nil {
		_ = m.unmap()
		return mapping{}, fmt.Errorf("exclude guest memory from core files: %w", err)
	}
	return m, nil
}

// unmap does nothing for what is not mapped.
func (m *mapping) unmap() error {
	if m.bytes == nil {
		return nil
	}
	_, _, errno := unix.Syscall(unix.SYS_MUNMAP, m.address, uintptr(len(m.bytes)), 0)
	*m = mapping{}
	if errno != 0 {
		return fmt.Errorf("unmap guest memory: %w", errno)
	}
	return nil
}
