package net

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Sizes in bytes.
const (
	headerSize   = 12 // struct virtio_net_hdr, section 5.1.6
	countOffset  = 10 // of num_buffers in it
	ethernetSize = 14
	vlanSize     = 4
	maxPacket    = headerSize + ethernetSize + vlanSize + 0xffff // the largest that a tap gives or takes
)

// socket is one queue of the tap. The device owns the file.
type socket struct {
	file *os.File
	raw  syscall.RawConn
	fd   int // of file, which must not be asked for it again: that would make it block

	ready  func(uintptr) bool // method value of readable, which is made once
	looked bool               // readable was asked before in this wait
	poll   [1]unix.PollFd
	broken error // why waiting is not possible
}

// newSocket wraps a file that does not block.
func newSocket(f *os.File) (*socket, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("queue of a tap: %w", err)
	}
	if err := f.SetReadDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("queue of a tap: want a file that does not block: %w", err)
	}
	s := &socket{file: f, raw: raw}
	if err := raw.Control(func(fd uintptr) { s.fd = int(fd) }); err != nil {
		return nil, fmt.Errorf("queue of a tap: %w", err)
	}
	s.ready = s.readable
	s.poll[0] = unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN}
	return s, nil
}

// wait returns when there may be a packet, or when wake was called since the
// last wait. One goroutine at a time waits.
func (s *socket) wait() {
	s.looked = false
	switch err := s.raw.Read(s.ready); {
	case errors.Is(err, os.ErrDeadlineExceeded):
		// A wake that came until here is answered by this return.
		_ = s.file.SetReadDeadline(time.Time{})
	case err != nil:
		s.broken = err
	}
}

// readable looks for itself once: the poller forgets what it heard before the
// wait began. Then it trusts the poller.
func (s *socket) readable(uintptr) bool {
	if s.looked {
		return true
	}
	s.looked = true
	s.poll[0].Revents = 0
	n, _ := unix.Poll(s.poll[:], 0) // an error means that the poller decides
	return n > 0
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// wake ends a wait, the one going on or the next.
func (s *socket) wake() { _ = s.file.SetReadDeadline(past) }

// control is what the kernel's tap can be told, beside packets.
type control interface {
	// offload sets what the tap may leave undone in packets for the guest, TUN_F_*.
	offload(flags int) error
	// attach has a queue take part in the tap's work, or not; packets in it are lost then.
	attach(queue int, on bool) error
}

// kernel is the control of a real tap.
type kernel struct{ sockets []*socket }

func (k kernel) offload(flags int) error {
	if err := unix.IoctlSetInt(k.sockets[0].fd, unix.TUNSETOFFLOAD, flags); err != nil {
		return fmt.Errorf("offloads %#x of the tap: %w", flags, err)
	}
	return nil
}

func (k kernel) attach(queue int, on bool) error {
	request, err := unix.NewIfreq("")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_DETACH_QUEUE)
	if on {
		request.SetUint16(unix.IFF_ATTACH_QUEUE)
	}
	err = unix.IoctlIfreq(k.sockets[queue].fd, unix.TUNSETQUEUE, request)
	if err != nil && !errors.Is(err, unix.EINVAL) { // invalid: it is so already, or the tap is gone, which receivers notice
		return fmt.Errorf("queue %d of the tap, attached %v: %w", queue, on, err)
	}
	return nil
}
