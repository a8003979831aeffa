package confine

import (
	"fmt"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// nowhere is a network namespace with nothing in it, not even a loopback that is up. Sockets that a process is handed stay where they
// were made; those that it would make lead nowhere.
var nowhere = sync.OnceValues(func() (*os.File, error) {
	type made struct {
		f   *os.File
		err error
	}
	c := make(chan made, 1)
	go onThread(func() {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			c <- made{err: fmt.Errorf("a network namespace: %w", err)}
			return
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		c <- made{f, err}
	})
	m := <-c
	return m.f, m.err
})

// Prepare makes ahead, in the background, what takes a part of a millisecond: who is going to call [Start] soon
// calls it first of all.
func Prepare() {
	go func() { _, _ = nowhere() }()
	go func() { _, _ = nothing() }()
}

// onThread runs f on a thread of its own, which ends with it: whatever f gives up, nobody else misses.
func onThread(f func()) {
	runtime.LockOSThread() // never unlocked, so the thread ends with the goroutine
	if unix.Gettid() != unix.Getpid() {
		f()
		return
	}
	// The first thread never ends, and /proc, among others, takes it for the process.
	done := make(chan struct{})
	go func() {
		defer close(done)
		onThread(f)
	}()
	<-done
	runtime.UnlockOSThread()
}
