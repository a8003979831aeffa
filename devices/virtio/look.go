package virtio

import (
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of a look. Longer than the longest, a wait costs little beside what it waits for.
const (
	minLook = 10 * time.Microsecond
	maxLook = 100 * time.Microsecond
)

// look is a search for work in the time in which there will probably be some:
// as long as the waits lately, and not at all when these were long. So it costs
// a processor only where that is about to be woken all the same (the idea of
// KVM's halt polling).
type look struct {
	length time.Duration // of the next one; 0: none
	began  time.Time     // the last
}

// found looks for work, which step does. It is false when there was none in time.
func (l *look) found(step func() bool) bool {
	l.began = time.Now()
	for time.Since(l.began) < l.length {
		if step() {
			return true
		}
		_, _, _ = unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0) // to whom it waits for, perhaps
	}
	return false
}

// learn adapts the length to the wait that followed a look in vain.
func (l *look) learn() {
	if time.Since(l.began) <= maxLook {
		l.length = min(max(2*l.length, minLook), maxLook)
		return
	}
	if l.length /= 2; l.length < minLook {
		l.length = 0
	}
}
