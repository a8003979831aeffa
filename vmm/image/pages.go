package image

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Pages opens the image once more, to be read through the host's cache, beside a guest that may read past that. It takes no lock: whoever opened the image has that.
func (i *Image) Pages() (*os.File, error) {
	// By the descriptor, not the path: it is this file, whatever became of its name.
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", i.File.Fd()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %s to be read through the cache: %w", i.File.Name(), err)
	}
	return os.NewFile(uintptr(fd), i.File.Name()), nil
}
