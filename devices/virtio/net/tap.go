package net

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// Sizes in bytes.
const (
	headerSize   = 12 // struct virtio_net_hdr, section 5.1.6
	countOffset  = 10 // of num_buffers in it
	ethernetSize = 14
	vlanSize     = 4
	maxPacket    = headerSize + ethernetSize + vlanSize + 0xffff // the largest that a tap gives or takes
)

// socket is one queue of the tap, and the event that ends a wait for packets and kicks.
//
// Who waits blocks a thread in poll: as with [virtio.Kick], the kernel wakes it
// sooner than Go's poller wakes a goroutine. The poller would also look at each
// packet's arrival, so the descriptor is one that it does not know.
type socket struct {
	fd     int
	woken  *virtio.Kick
	poll   [4]unix.PollFd // fd, woken, and the kicks of the queues
	broken error          // why waiting is not possible
}

// newSocket duplicates the descriptor of a file, and has the file not block from here on.
func newSocket(f *os.File) (*socket, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("queue of a tap: %w", err)
	}
	var fd int
	var refused error
	err = raw.Control(func(theirs uintptr) {
		if refused = unix.SetNonblock(int(theirs), true); refused == nil {
			fd, refused = unix.FcntlInt(theirs, unix.F_DUPFD_CLOEXEC, 0)
		}
	})
	if err := errors.Join(err, refused); err != nil {
		return nil, fmt.Errorf("queue of a tap: %w", err)
	}
	s := &socket{fd: fd}
	if s.woken, err = virtio.NewKick(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	for i := range s.poll {
		s.poll[i].Events = unix.POLLIN
	}
	return s, nil
}

// newSockets makes one of each file.
func newSockets(files []*os.File) ([]*socket, error) {
	var sockets []*socket
	for _, f := range files {
		s, err := newSocket(f)
		if err != nil {
			return nil, errors.Join(err, closeSockets(sockets))
		}
		sockets = append(sockets, s)
	}
	return sockets, nil
}

// closeSockets closes them all. Precondition: nobody waits.
func closeSockets(sockets []*socket) error {
	var errs []error
	for _, s := range sockets {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

// wait returns when there may be a packet, if packets are waited for; when there
// was one of two kicks, which may be nil; or when wake was called since the last
// wait. One goroutine at a time waits.
func (s *socket) wait(packets bool, one, other *virtio.Kick) {
	if s.broken != nil {
		s.woken.Wait() // there is nothing else left to wait for
		return
	}
	s.poll[0].Fd = -1 // left out
	if packets {
		s.poll[0].Fd = int32(s.fd)
	}
	kicks := [...]*virtio.Kick{s.woken, one, other}
	for i, k := range kicks {
		if s.poll[1+i].Fd = -1; k != nil {
			s.poll[1+i].Fd = int32(k.FD())
		}
	}
	if _, err := unix.Poll(s.poll[:], -1); errors.Is(err, unix.EINTR) {
		return
	} else if err != nil {
		s.broken = err
		return
	}
	for i, k := range kicks {
		if s.poll[1+i].Revents != 0 {
			k.Wait() // it has come
		}
	}
}

// wake ends a wait, the one going on or the next.
func (s *socket) wake() { s.woken.Wake() }

// close releases the descriptors. Precondition: nobody waits.
func (s *socket) close() error {
	err := unix.Close(s.fd)
	if s.woken != nil {
		err = errors.Join(err, s.woken.Close())
	}
	return err
}

// control is what the kernel's tap can be told, beside packets.
type control interface {
	// offload sets what the tap may leave undone in packets for the guest, TUN_F_*.
	offload(flags int) error
	// attach has a queue take part in the tap's work, or not; packets in it are lost then.
	attach(queue int, on bool) error
}

// left is the control of a tap that is another process's.
type left struct{}

func (left) offload(int) error      { return nil }
func (left) attach(int, bool) error { return nil }

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
