package drive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// MemfdData is how many bytes of data, not holes, the memfds of a process
// hold, as the kernel says. It needs the rights to look into the process.
func MemfdData(pid int) (uint64, error) {
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return 0, err
	}
	var total uint64
	seen := make(map[uint64]bool)
	for _, fd := range fds {
		to, err := os.Readlink(fd)
		if err != nil || !strings.HasPrefix(to, "/memfd:") {
			continue
		}
		f, err := os.Open(fd)
		if err != nil {
			return 0, fmt.Errorf("drive: open %s: %w", to, err)
		}
		var st unix.Stat_t
		err = unix.Fstat(int(f.Fd()), &st)
		if err == nil && !seen[st.Ino] {
			seen[st.Ino] = true
			var n uint64
			n, err = dataOf(int(f.Fd()))
			total += n
		}
		f.Close()
		if err != nil {
			return 0, fmt.Errorf("drive: look for the data of %s: %w", to, err)
		}
	}
	if len(seen) == 0 {
		return 0, fmt.Errorf("drive: process %d has no memfd", pid)
	}
	return total, nil
}

func dataOf(fd int) (uint64, error) {
	var total, at int64
	for {
		data, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return uint64(total), nil
		}
		if err != nil {
			return 0, err
		}
		hole, err := unix.Seek(fd, data, unix.SEEK_HOLE)
		if err != nil {
			return 0, err
		}
		total, at = total+hole-data, hole
	}
}
