package uring

import (
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Completion is the end of an operation, or one event of a Poll.
type Completion struct {
	Token  uint64
	Result int32 // not negative, or a negative error number
	More   bool  // a Poll goes on; of a SendFixed, a completion with Notify will follow
	Notify bool  // of a SendFixed: its buffer is not read any more
}

// Enter submits what was prepared, lets completions in, and, if wait is set,
// returns only once there is a completion or a signal came. When the kernel is short of
// memory some submissions may stay, for the next Enter: Room tells.
func (r *Ring) Enter(wait bool) error {
	atomic.StoreUint32(r.sqTail, r.tail)
	n := r.tail - atomic.LoadUint32(r.sqHead)
	var min uintptr
	if wait && atomic.LoadUint32(r.cqTail) == *r.cqHead {
		min = 1
	}
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(n), min, enterGetEvents, 0, 0)
	switch {
	case errno == 0, errors.Is(errno, unix.EINTR), errors.Is(errno, unix.EAGAIN), errors.Is(errno, unix.EBUSY):
		return nil
	default:
		return fmt.Errorf("io_uring: enter: %w", errno)
	}
}

// Next takes a completion, if one has come in.
func (r *Ring) Next() (Completion, bool) {
	head := *r.cqHead
	if head == atomic.LoadUint32(r.cqTail) {
		return Completion{}, false
	}
	e := &r.cqes[head&r.cqMask]
	c := Completion{Token: e.userData, Result: e.res, More: e.flags&cqeMore != 0, Notify: e.flags&cqeNotif != 0}
	atomic.StoreUint32(r.cqHead, head+1)
	return c, true
}

// Pending tells whether an Enter would have something to do without waiting:
// submissions that were prepared, or completions that only the kernel knows of.
func (r *Ring) Pending() bool {
	return r.tail != atomic.LoadUint32(r.sqHead) || atomic.LoadUint32(r.sqFlags)&(sqCQOverflow|sqTaskrun) != 0
}
