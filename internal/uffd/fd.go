package uffd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Device is the file that userfaultfds are made of, since Linux 6.1.
const Device = "/dev/userfaultfd"

// Open opens Device, for New. Error: ErrUnavailable, with the remedy.
func Open() (*os.File, error) {
	f, err := os.OpenFile(Device, os.O_RDWR, 0)
	switch {
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("%w: %w; give this user read and write permission on %s", ErrUnavailable, err, Device)
	case err != nil:
		return nil, fmt.Errorf("%w: %w; it needs Linux 6.1 with CONFIG_USERFAULTFD", ErrUnavailable, err)
	}
	return f, nil
}

// FD is a userfaultfd. Its methods may be called from several goroutines, Read from one at a time, and Close last.
type FD struct {
	fd   int
	kick int // an eventfd that ends a Read
}

// New makes a userfaultfd of an open Device, for memfds, of huge pages (hugetlb) if asked to. Error: ErrUnavailable.
func New(dev *os.File, huge bool) (_ *FD, err error) {
	u := &FD{fd: -1, kick: -1}
	defer func() {
		if err != nil {
			err = errors.Join(err, u.Close())
		}
	}()
	if u.fd, err = newFD(dev); err != nil {
		return nil, err
	}
	want := uint64(featMissingShmem | featMinorShmem)
	if huge {
		want = featMissingHugetlb | featMinorHugetlb
	}
	if _, errno := handshake(u.fd, want); errno != 0 {
		return nil, lacking(dev, want, errno)
	}
	if u.kick, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return u, nil
}

func newFD(dev *os.File) (fd int, err error) {
	if dev == nil {
		return -1, fmt.Errorf("%w: no open %s was handed over", ErrUnavailable, Device)
	}
	conn, err := dev.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("%s: %w", dev.Name(), err)
	}
	var errno unix.Errno
	var n uintptr
	if err := conn.Control(func(d uintptr) {
		n, _, errno = unix.Syscall(unix.SYS_IOCTL, d, reqNew, unix.O_CLOEXEC|unix.O_NONBLOCK)
	}); err != nil {
		return -1, fmt.Errorf("%s: %w", dev.Name(), err)
	}
	if errno != 0 {
		return -1, fmt.Errorf("%w: %s is no %s, or too old: %w", ErrUnavailable, dev.Name(), Device, errno)
	}
	return int(n), nil
}

// handshake asks for features, and returns those that the kernel has.
func handshake(fd int, want uint64) (uint64, unix.Errno) {
	arg := apiArg{api: apiVersion, features: want}
	errno := ioctl(fd, reqAPI, unsafe.Pointer(&arg)) // SAFETY: the argument of this request is a struct uffdio_api.
	return arg.features, errno
}

// lacking says why a handshake failed: a second one, on a new file, asks for nothing and learns what there is.
func lacking(dev *os.File, want uint64, errno unix.Errno) error {
	fd, err := newFD(dev)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	has, again := handshake(fd, 0)
	if again != 0 {
		return fmt.Errorf("%w: UFFDIO_API: %w", ErrUnavailable, again)
	}
	var names []string
	for _, f := range []struct {
		bit  uint64
		name string
	}{
		{featMissingShmem, "MISSING_SHMEM"}, {featMinorShmem, "MINOR_SHMEM (Linux 5.14)"},
		{featMissingHugetlb, "MISSING_HUGETLBFS"}, {featMinorHugetlb, "MINOR_HUGETLBFS (Linux 5.13)"},
	} {
		if want&^has&f.bit != 0 {
			names = append(names, f.name)
		}
	}
	return fmt.Errorf("%w: this kernel lacks %s: %w", ErrUnavailable, strings.Join(names, ", "), errno)
}

// Kick ends the Read that waits, or else the next one.
func (u *FD) Kick() error {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	if _, err := unix.Write(u.kick, one[:]); err != nil && !errors.Is(err, unix.EAGAIN) { // full: it is kicked
		return fmt.Errorf("kick userfaultfd: %w", err)
	}
	return nil
}

// Close gives everything back: who waits for a page touches it again, and no range is registered any more.
//
// Precondition: no other call is in progress.
func (u *FD) Close() error {
	var errs []error
	for _, fd := range []*int{&u.fd, &u.kick} {
		if *fd >= 0 {
			errs = append(errs, unix.Close(*fd))
			*fd = -1
		}
	}
	return errors.Join(errs...)
}

// ioctl issues one request on a struct; EINTR is retried.
func ioctl(fd int, req uintptr, arg unsafe.Pointer) unix.Errno {
	for {
		// SAFETY: the conversion is in the argument list of an assembly function, so the compiler keeps the object alive
		// and in place for the call (unsafe rule 4).
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), req, uintptr(arg))
		if errno != unix.EINTR {
			return errno
		}
	}
}
