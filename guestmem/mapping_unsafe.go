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

// mapFile maps a memfd, as its huge pages want it: at a multiple of 2 MiB. reserve makes sure that none of its pages will be lacking.
func mapFile(fd int, size uint64, reserve bool) (mapping, error) {
	flags := unix.MAP_SHARED | unix.MAP_NORESERVE
	if reserve {
		flags = unix.MAP_SHARED
	}
	const align = hugePages * PageSize
	room, _, errno := unix.Syscall6(unix.SYS_MMAP, 0, uintptr(size+align), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE, ^uintptr(0), 0)
	if errno != 0 {
		return mapping{}, fmt.Errorf("find room to map %d bytes of guest memory: %w", size, errno)
	}
	address := (room + align - 1) &^ (align - 1)
	_, _, errno = unix.Syscall6(unix.SYS_MMAP, address, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, uintptr(flags|unix.MAP_FIXED), uintptr(fd), 0)
	if errno != 0 {
		_, _, _ = unix.Syscall(unix.SYS_MUNMAP, room, uintptr(size+align), 0)
		return mapping{}, fmt.Errorf("map %d bytes of guest memory: %w", size, errno)
	}
	for _, rest := range [][2]uintptr{{room, address}, {address + uintptr(size), room + uintptr(size) + align}} {
		if rest[1] > rest[0] {
			_, _, _ = unix.Syscall(unix.SYS_MUNMAP, rest[0], rest[1]-rest[0], 0)
		}
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

// resident tells, by a byte for each page, which pages from off on the mapping has: bit 0 of each.
func (m *mapping) resident(off uint64, out []byte) error {
	// SAFETY: the kernel writes a byte to out for each of the len(out) pages at an address that is ours; it reads no memory there.
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, m.address+uintptr(off), uintptr(len(out))*PageSize, uintptr(unsafe.Pointer(&out[0])))
	if errno != 0 {
		return fmt.Errorf("look for pages of guest memory: %w", errno)
	}
	return nil
}

// offset is where in the mapping p begins, if p is a part of it.
func (m *mapping) offset(p []byte) (off uint64, ok bool) {
	// SAFETY: the address is compared with that of a mapping, which no Go object is in, and never made a pointer again.
	start := unsafe.Pointer(unsafe.SliceData(p))
	at := uintptr(start)
	if len(p) == 0 || at < m.address || at-m.address >= uintptr(len(m.bytes)) {
		return 0, false
	}
	return uint64(at - m.address), true
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
