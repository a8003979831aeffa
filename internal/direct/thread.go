package direct

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Thread gives the calling goroutine a thread that the kernel runs before others, sched(7): for work of microseconds that
// somebody waits for. Its process wants a P of Go's scheduler to spare for it: one that waits in the kernel keeps its own
// until the monitor takes it away, up to 10 ms later. Where that is not permitted, the thread is one like all others. Who works for a peer bounds what the
// peer can make it do. The thread ends with the goroutine.
func Thread() {
	runtime.LockOSThread() // never unlocked: nobody else is to get this thread
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}, 0)
}
