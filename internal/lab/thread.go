package lab

import (
	"fmt"
	"runtime"

	"github.com/vishvananda/netns"
)

// inNamespace runs fn on an OS thread that is inside ns for as long as fn runs.
// What fn creates (sockets, processes) stays in ns. Goroutines that fn starts
// do not run in ns.
func inNamespace(ns netns.NsHandle, fn func() error) error {
	return onThread(func() error {
		if err := netns.Set(ns); err != nil {
			return fmt.Errorf("lab: enter the host's network namespace: %w", err)
		}
		return fn()
	})
}

// newNamespace makes an anonymous network namespace.
func newNamespace() (ns netns.NsHandle, err error) {
	ns = netns.None()
	err = onThread(func() error {
		ns, err = netns.New()
		return err
	})
	return ns, err
}

// onThread runs fn, which may change its thread's network namespace, and brings
// the thread home. A thread that cannot be brought home ends with its goroutine
// instead of going back to the Go scheduler.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			runtime.UnlockOSThread()
			done <- fmt.Errorf("lab: read the thread's network namespace: %w", err)
			return
		}
		defer home.Close()
		result := fn()
		if err := netns.Set(home); err == nil {
			runtime.UnlockOSThread()
		}
		done <- result
	}()
	return <-done
}
