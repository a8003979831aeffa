package console

import (
	"os"

	"golang.org/x/sys/unix"
)

// nowait writes to a file that takes bytes at once or not at all: a pipe or a
// socket. The file's flags stay as they are: others may share it.
type nowait struct {
	fd     int
	socket bool
}

// noFD is a file that may block: a terminal, or a file on a disk.
const noFD = -1

func newNowait(f *os.File) nowait {
	w := nowait{fd: noFD}
	raw, err := f.SyscallConn()
	if err != nil {
		return w
	}
	_ = raw.Control(func(fd uintptr) {
		var st unix.Stat_t
		if unix.Fstat(int(fd), &st) != nil {
			return
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFSOCK:
			w.fd, w.socket = int(fd), true
		case unix.S_IFIFO:
			w.fd = int(fd)
		}
	})
	return w
}

// write writes what is taken at once, and returns how much that was. An error
// is left to be found by a write that may block. Precondition: the file is open.
func (w nowait) write(parts ...[]byte) int {
	if w.fd == noFD {
		return 0
	}
	total := 0
	for _, p := range parts {
		if len(p) == 0 {
			continue
		}
		n, err := 0, error(nil)
		if w.socket {
			n, err = unix.SendmsgN(w.fd, p, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		} else {
			n, err = unix.Pwritev2(w.fd, [][]byte{p}, -1, unix.RWF_NOWAIT)
		}
		if err != nil {
			return total
		}
		if total += n; n < len(p) {
			return total
		}
	}
	return total
}
