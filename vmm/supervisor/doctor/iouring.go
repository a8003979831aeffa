package doctor

import (
	"errors"

	"golang.org/x/sys/unix"
)

// iouring looks at io_uring: err is what making a ring gave.
func iouring(err error) Finding {
	f := Finding{Check: "io_uring", Level: Note}
	switch {
	case err == nil:
		f.Level, f.Text = OK, "io_uring works: disks have many requests under way"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		f.Text, f.Remedy = "io_uring is forbidden here: disks are served by threads, more slowly", "sysctl kernel.io_uring_disabled=0; in a container, allow it in its seccomp profile"
	default:
		f.Text, f.Remedy = "io_uring cannot be used, disks are served by threads, more slowly: "+err.Error(), "use Linux 6.1 or later"
	}
	return f
}
