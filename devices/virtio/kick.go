package virtio

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Kick is an event that wakes the worker of a queue: the driver's write to the
// notification register, without an exit to this process, or [Kick.Wake].
type Kick struct {
	file    *os.File
	fd      int
	counter [8]byte // for Wait, which one goroutine calls
}

// NewKick makes the event.
func NewKick() (*Kick, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("event of a queue: %w", err)
	}
	return &Kick{file: os.NewFile(uintptr(fd), "kick"), fd: fd}, nil
}

// FD is the descriptor of the eventfd.
func (k *Kick) FD() int { return k.fd }

// Wait returns when there was a kick since the last Wait, or when the event is closed.
func (k *Kick) Wait() {
	_, _ = k.file.Read(k.counter[:]) // an error is the end: the worker looks whether it is to stop
}

// Wake is a kick of our own.
func (k *Kick) Wake() {
	_, _ = k.file.Write(one) // a full counter is a kick too
}

var one = []byte{1, 0, 0, 0, 0, 0, 0, 0} // little endian, as the guest is

// Close releases the descriptor; who waits returns.
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
func CloseKicks(kicks []*Kick) error {
	var errs []error
	for _, k := range kicks {
		errs = append(errs, k.Close())
	}
	return errors.Join(errs...)
}
