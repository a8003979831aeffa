package lab

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Warm takes size bytes of memory in huge pages, touches them and gives them back. Where the host is a virtual machine whose hypervisor takes back what
// is free (free page reporting), the first touch of a free block of 2 MiB costs twenty times that of one used a moment ago: what is measured right behind a
// Warm is the host's, and not its hypervisor's.
func Warm(size uint64) error {
	m, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("lab: map memory to warm it: %w", err)
	}
	defer func() { _ = unix.Munmap(m) }()
	_ = unix.Madvise(m, unix.MADV_HUGEPAGE) // without them it is single pages
	if err := unix.Madvise(m, unix.MADV_POPULATE_WRITE); err != nil {
		return fmt.Errorf("lab: warm memory: %w", err)
	}
	return nil
}
