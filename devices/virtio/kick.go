package virtio

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Kick is an event that wakes the worker of a queue: the driver's write to the
// notification register, without an exit to this process, or [Kick.Wake].
//
// Who waits blocks a thread in the system call: the kernel wakes it in two
// thirds of the time that waking a goroutine through Go's poller takes, and a
// thread that waits costs 15 KiB.
type Kick struct {
	file    *os.File
	fd      int
	counter [8]byte // for Wait, which one goroutine calls
}

// NewKick makes the event.
func NewKick() (*Kick, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("event of a queue: %w", err)
	}
	return &Kick{file: os.NewFile(uintptr(fd), "kick"), fd: fd}, nil
}

// FD is the descriptor of the eventfd.
func (k *Kick) FD() int { return k.fd }

// Wait returns when there was a kick since the last Wait.
func (k *Kick) Wait() {
	_, _ = k.file.Read(k.counter[:]) // fails only once it is closed
}

// Wake is a kick of our own.
func (k *Kick) Wake() {
	_, _ = k.file.Write(one) // fails only once it is closed
}

var one = []byte{1, 0, 0, 0, 0, 0, 0, 0} // little endian, as the guest is

// Close releases the descriptor.
//
// Precondition: nobody waits.
func (k *Kick) Close() error { return k.file.Close() }

// NewKicks makes n events.
func NewKicks(n int) ([]*Kick, error) {
	kicks := make([]*Kick, 0, n)
	for range n {
		k, err := NewKick()
		if err != nil {
			return nil, errors.Join(err, CloseKicks(kicks))
		}
		kicks = append(kicks, k)
	}
	return kicks, nil
}

// CloseKicks closes them all.
//
// Precondition: nobody waits.
func CloseKicks(kicks []*Kick) error {
	var errs []error
	for _, k := range kicks {
		errs = append(errs, k.Close())
	}
	return errors.Join(errs...)
}
