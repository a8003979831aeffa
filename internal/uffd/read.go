package uffd

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batch is how many messages one Read takes.
const batch = 64

// Read waits for faults, and puts the addresses of their pages into addresses. It returns how many there are: at most 64 at
// a time, and 0 after a Kick. Nothing is allocated.
//
// Precondition: len(addresses) > 0.
func (u *FD) Read(addresses []uintptr) (n int, err error) {
	for {
		if kicked, err := u.wait(); kicked || err != nil {
			return 0, err
		}
		var messages [batch]message
		got, err := u.messages(messages[:min(batch, len(addresses))])
		if err != nil {
			return 0, err
		}
		for _, m := range messages[:got] {
			if m.event == eventPagefault { // no other was asked for
				addresses[n] = uintptr(m.address)
				n++
			}
		}
		if n > 0 {
			return n, nil
		}
	}
}

// wait returns once there is something to read, or a kick, which it takes.
func (u *FD) wait() (kicked bool, err error) {
	for {
		fds := [2]unix.PollFd{{Fd: int32(u.fd), Events: unix.POLLIN}, {Fd: int32(u.kick), Events: unix.POLLIN}}
		_, err := unix.Poll(fds[:], -1)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return false, fmt.Errorf("wait for page faults: %w", err)
		case fds[1].Revents != 0:
			var count [8]byte
			if _, err := unix.Read(u.kick, count[:]); err != nil && !errors.Is(err, unix.EAGAIN) {
				return false, fmt.Errorf("wait for page faults: %w", err)
			}
			return true, nil
		case fds[0].Revents&unix.POLLIN != 0:
			return false, nil
		default:
			return false, fmt.Errorf("wait for page faults: events %#x", fds[0].Revents)
		}
	}
}

// messages reads what has come, which may have been nothing.
func (u *FD) messages(m []message) (int, error) {
	const size = unsafe.Sizeof(message{})
	// SAFETY: the kernel fills whole messages of plain numbers into m, which has room for len(m) of them.
	n, err := unix.Read(u.fd, unsafe.Slice((*byte)(unsafe.Pointer(&m[0])), uintptr(len(m))*size))
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR): // the fault has gone, or been read
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("read page faults: %w", err)
	}
	return n / int(size), nil
}
