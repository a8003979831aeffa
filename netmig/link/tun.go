package link

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/netmig"
)

// driver makes and opens taps.
const driver = "/dev/net/tun"

// headerSize is the size, in bytes, of what comes before each packet: struct
// virtio_net_hdr of VIRTIO 1.2, section 5.1.6, with num_buffers.
const headerSize = 12

// openQueue opens a queue of the tap name, which is created if there is none,
// and returns the tap's real name: name may be a pattern with %d. The errors
// are the kernel's.
//
// The file blocks, so that no process that it is handed to takes it into Go's
// poller, where each packet would wake a thread. Who reads it changes that.
func openQueue(name string, flags uint16) (queue *os.File, real string, err error) {
	fd, err := unix.Open(driver, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, "", &os.PathError{Op: "open", Path: driver, Err: err}
	}
	queue = os.NewFile(uintptr(fd), name)
	if real, err = attach(fd, name, flags); err != nil {
		queue.Close()
		return nil, "", err
	}
	return queue, real, nil
}

// attach makes a descriptor a queue of a link, and returns the link's real name.
func attach(fd int, name string, flags uint16) (real string, err error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return "", err
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR | flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return "", err
	}
	return request.Name(), errors.Join(
		unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, headerSize),
		unix.IoctlSetPointerInt(fd, unix.TUNSETVNETLE, 1),
	)
}

// openQueues opens n queues of a tap: of a new one if fresh. The error is an
// *netmig.Error.
func openQueues(name string, n int, multi, fresh bool) (queues []*os.File, real string, err error) {
	var flags, first uint16
	if multi {
		flags = unix.IFF_MULTI_QUEUE
	}
	if fresh {
		first = unix.IFF_TUN_EXCL // not one that came up since we looked
	}
	real = name
	for range n {
		var q *os.File
		if q, real, err = openQueue(real, flags|first); err != nil {
			closeAll(queues)
			return nil, "", explain(name, err)
		}
		queues, first = append(queues, q), 0
	}
	return queues, real, nil
}

func closeAll(files []*os.File) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// explain says what an error of openQueue means.
func explain(name string, err error) error {
	e := &netmig.Error{Code: netmig.CodeHost, Message: fmt.Sprintf("tap %s cannot be opened", name), Err: err,
		Remedy: "look into the kernel's log"}
	var path *os.PathError
	switch {
	case errors.As(err, &path) && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO)):
		e.Code, e.Message, e.Remedy = netmig.CodeAbsent, "this host has no tap driver", "load it (modprobe tun); in a container, pass "+driver+" in"
	case errors.As(err, &path) && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)):
		e.Code, e.Message, e.Remedy = netmig.CodePermission, "taps cannot be opened by this user", "make "+driver+" readable and writable for this user, or run vmm as root"
	case errors.Is(err, unix.EPERM):
		e.Code, e.Remedy = netmig.CodePermission, fmt.Sprintf(
			"run vmm with the capability CAP_NET_ADMIN, or let root make a tap for this user (ip tuntap add dev NAME mode tap user %d) and give tap=NAME", os.Getuid())
	case errors.Is(err, unix.EBUSY):
		e.Code, e.Message, e.Remedy = netmig.CodeBusy, fmt.Sprintf("tap %s is in use", name), "end the process that has it, or use another tap"
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.E2BIG):
		e.Code, e.Remedy = netmig.CodeMismatch, "use another tap, or fewer queues"
	}
	return e
}
