package direct

import (
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Thread gives the calling goroutine a thread that the kernel runs before others, sched(7): for work of microseconds that
// somebody waits for. Its process wants a P of Go's scheduler to spare for it: one that waits in the kernel keeps its own
// until the monitor takes it away, up to 10 ms later. Where that is not permitted, the thread is one like all others. Who works for a peer bounds what the
// peer can make it do. The thread ends with the goroutine.
func Thread() {
	runtime.LockOSThread() // never unlocked: nobody else is to get this thread
	if Prefer(0) != nil {
		if ask := patron.Load(); ask != nil {
			(*ask)(unix.Gettid())
		}
	}
}

// Prefer has the kernel run the thread tid, 0 for the calling one, before others.
func Prefer(tid int) error {
	return unix.SchedSetAttr(tid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}, 0)
}

// patron asks for the preference of a thread.
var patron atomic.Pointer[func(tid int)]

// Patron has another process asked to prefer the threads that this one may not: a confined one has not the capability. ask must not wait
// for the answer; the thread may be gone when that comes.
func Patron(ask func(tid int)) { patron.Store(&ask) }
