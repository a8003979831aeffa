package confine

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Shed takes from every thread of this process the capabilities that are not in keep, for good. With programs false what it starts cannot
// have them either: then no program gains anything by being set-user-ID. An error says that nothing has changed, or, behind
// the first call, not all: a binary that was built with cgo cannot do it.
func Shed(keep []int, programs bool) error {
	var kept [2]uint32
	for _, c := range keep {
		kept[c/32] |= 1 << (c % 32)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	if !programs {
		if err := everywhere(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
			return fmt.Errorf("no new privileges: %w", err)
		}
		for c := 0; c <= unix.CAP_LAST_CAP && has(unix.CAP_SETPCAP); c++ {
			if kept[c/32]&(1<<(c%32)) != 0 {
				continue
			}
			if err := everywhere(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(c), 0); err != nil && !errors.Is(err, unix.EINVAL) { // an older kernel has fewer
				return fmt.Errorf("capability %d: %w", c, err)
			}
		}
	}
	for i := range sets {
		sets[i].Effective &= kept[i]
		sets[i].Permitted &= kept[i]
		sets[i].Inheritable = 0
	}
	var pin runtime.Pinner
	pin.Pin(&header)
	pin.Pin(&sets)
	defer pin.Unpin()
	// SAFETY: both are pinned, and so in place for the calls of all threads, which only read them.
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&sets[0])), 0); errno != 0 {
		return fmt.Errorf("capabilities: %w", errno)
	}
	return nil
}

// everywhere makes a system call on each thread.
func everywhere(number, a, b, c uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall(number, a, b, c); errno != 0 {
		return unix.Errno(errno)
	}
	return nil
}
