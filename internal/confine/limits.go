package confine

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// maxFiles is how many descriptors a confined process may have: each of 64 vCPUs, 16 disks and networks of as many
// queues and a move's channels together need some hundreds.
const maxFiles = 4096

// Limit sets the resource limits of a confined process, before it is told to do anything. What memory it locks as root by
// a capability it locks by a limit from here on, if the caller may raise that.
//
// No limit of the size of files, for disks and consoles may have any; nor of processes, for the kernel counts those, and Go's threads, by
// user, and the filter lets none be made.
func Limit(pid int) error {
	type limit struct {
		resource int
		value    uint64
	}
	limits := []limit{{unix.RLIMIT_CORE, 0}, {unix.RLIMIT_NOFILE, maxFiles}}
	if has(unix.CAP_SYS_RESOURCE) && has(unix.CAP_IPC_LOCK) {
		limits = append(limits, limit{unix.RLIMIT_MEMLOCK, unix.RLIM_INFINITY})
	}
	for _, l := range limits {
		value := l.value
		if l.resource == unix.RLIMIT_NOFILE {
			var now unix.Rlimit
			if err := unix.Prlimit(pid, l.resource, nil, &now); err != nil {
				return fmt.Errorf("confine: limit %d: %w", l.resource, err)
			}
			value = min(value, now.Max)
		}
		if err := unix.Prlimit(pid, l.resource, &unix.Rlimit{Cur: value, Max: value}, nil); err != nil {
			return fmt.Errorf("confine: limit %d: %w", l.resource, err)
		}
	}
	return nil
}
