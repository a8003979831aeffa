package confine

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// maxFiles is how many descriptors a confined process may have: vCPUs, the queues of disks and networks, and the channels of a
// move together need some hundreds.
const maxFiles = 4096

// limit takes resources from this process. There is no limit of the size of files, for disks and consoles may have any; nor of
// processes, for the kernel counts those, and Go's threads, by user, and the filter lets none be made.
func limit() error {
	for _, l := range []struct {
		resource int
		value    uint64
	}{{unix.RLIMIT_CORE, 0}, {unix.RLIMIT_NOFILE, maxFiles}} { // a core has all that the process knows
		var now unix.Rlimit
		if err := unix.Prlimit(0, l.resource, nil, &now); err != nil {
			return fmt.Errorf("confine: limit %d: %w", l.resource, err)
		}
		value := min(l.value, now.Max)
		if err := unix.Prlimit(0, l.resource, &unix.Rlimit{Cur: value, Max: value}, nil); err != nil {
			return fmt.Errorf("confine: limit %d: %w", l.resource, err)
		}
	}
	return nil
}

// LockMemory lets a confined process lock memory without bound, if this one may: by a limit, where root does it by a capability. It is for
// before the process is told to do anything.
func LockMemory(pid int) error {
	if !has(unix.CAP_SYS_RESOURCE) || !has(unix.CAP_IPC_LOCK) {
		return nil
	}
	none := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	if err := unix.Prlimit(pid, unix.RLIMIT_MEMLOCK, &none, nil); err != nil {
		return fmt.Errorf("confine: the limit of locked memory: %w", err)
	}
	return nil
}
