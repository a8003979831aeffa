package image

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Sync makes durable all that was written to f.
func Sync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("sync disk image %s: %w", f.Name(), err)
		}
		return nil
	}
}

// DropCache forgets what this host has read of an image, for another host may
// have written to it since.
//
// Precondition: nobody on this host writes to it.
func DropCache(f *os.File) error {
	err := dropCache(int(f.Fd()))
	if err != nil {
		return fmt.Errorf("drop the cache of disk image %s: %w", f.Name(), err)
	}
	return nil
}

func dropCache(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFBLK {
		err := unix.IoctlSetInt(fd, unix.BLKFLSBUF, 0)
		if !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM) { // only root may
			return err
		}
	}
	return unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED)
}
