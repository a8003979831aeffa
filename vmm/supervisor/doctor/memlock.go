package doctor

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// enoughLocked is what rings and buffers may need, in bytes; it is the default of systemd.
const enoughLocked = 8 << 20

// memlockLimit is how much memory this process may lock, in bytes.
func memlockLimit() (uint64, error) {
	var r unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &r)
	return r.Cur, err
}

// memlock looks at how much memory may be locked. Ferry locks no guest memory; io_uring counts what it registers.
func memlock(limit uint64, err error) Finding {
	f := Finding{Check: "memlock", Level: OK}
	switch {
	case err != nil:
		f.Level, f.Text, f.Remedy = Note, "the limit of locked memory cannot be read: "+err.Error(), "ulimit -l"
	case limit == unix.RLIM_INFINITY:
		f.Text = "memory may be locked without limit"
	case limit < enoughLocked:
		f.Level, f.Text = Note, fmt.Sprintf("only %d KiB of memory may be locked, which may be too little for io_uring", limit>>10)
		f.Remedy = "ulimit -l 8192, or LimitMEMLOCK=8M in the unit of systemd"
	default:
		f.Text = fmt.Sprintf("%d MiB of memory may be locked, which is enough", limit>>20)
	}
	return f
}
