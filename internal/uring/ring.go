package uring

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrUnavailable means that this process gets no io_uring: the kernel is older
// than 6.1, or it is switched off (sysctl kernel.io_uring_disabled, a seccomp
// filter). The caller does its I/O another way.
var ErrUnavailable = errors.New("io_uring is not available")

// MaxEntries is the most submissions that a ring can have.
const MaxEntries = 32768

// Ring is an io_uring. Its methods belong to the one goroutine that enabled it,
// except Close, which comes after.
type Ring struct {
	fd    int
	rings []byte // mapping of both rings
	array []byte // mapping of the submissions

	sqHead, sqTail *uint32 // the kernel moves the head, we the tail
	sqFlags        *uint32
	sqes           []sqe
	sqMask         uint32
	tail           uint32 // of submissions prepared; the kernel learns of it in Enter

	cqHead, cqTail *uint32 // we move the head, the kernel the tail
	cqes           []cqe
	cqMask         uint32

	// held keeps the iovecs of each submission where the kernel looks for them.
	held []*unix.Iovec
}

// New makes a ring that holds at least entries submissions, and twice as many
// completions. Errors: ErrUnavailable.
func New(entries uint32) (*Ring, error) {
	p := params{flags: setupRDisabled | setupSubmitAll | setupTaskrunFlag | setupSingleIssuer | setupDeferTaskrun}
	fd, err := setup(entries, &p)
	switch {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	case errors.Is(err, unix.EINVAL) && entries > 0 && entries <= MaxEntries:
		return nil, fmt.Errorf("%w: this kernel is older than 6.1: %w", ErrUnavailable, err)
	case err != nil:
		return nil, fmt.Errorf("io_uring of %d entries: %w", entries, err)
	}
	r := &Ring{fd: fd}
	if err := r.mmap(&p); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func setup(entries uint32, p *params) (int, error) {
	// SAFETY: p is the struct that the call reads and fills, and stays in place for it.
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(entries), uintptr(unsafe.Pointer(p)), 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// mmap maps what the kernel shares.
func (r *Ring) mmap(p *params) error {
	const want = featSingleMmap | featNodrop | featSubmitStable
	if p.features&want != want {
		return fmt.Errorf("%w: features %#x, want %#x", ErrUnavailable, p.features, want)
	}
	size := max(p.sqOff.array+p.sqEntries*4, p.cqOff.cqes+p.cqEntries*uint32(unsafe.Sizeof(cqe{})))
	var err error
	if r.rings, err = r.mapping(offSQRing, int(size)); err != nil {
		return err
	}
	if r.array, err = r.mapping(offSQEs, int(p.sqEntries)*int(unsafe.Sizeof(sqe{}))); err != nil {
		return err
	}
	// SAFETY: the kernel says where in its mappings the fields are and how many entries there are; both mappings were made
	// that large above, and stay until Close.
	r.sqHead, r.sqTail = (*uint32)(unsafe.Pointer(&r.rings[p.sqOff.head])), (*uint32)(unsafe.Pointer(&r.rings[p.sqOff.tail]))
	r.sqFlags = (*uint32)(unsafe.Pointer(&r.rings[p.sqOff.flags]))
	r.cqHead, r.cqTail = (*uint32)(unsafe.Pointer(&r.rings[p.cqOff.head])), (*uint32)(unsafe.Pointer(&r.rings[p.cqOff.tail]))
	r.sqes = unsafe.Slice((*sqe)(unsafe.Pointer(&r.array[0])), p.sqEntries)
	r.cqes = unsafe.Slice((*cqe)(unsafe.Pointer(&r.rings[p.cqOff.cqes])), p.cqEntries)
	// The array says which submission is next: always the one of the same index.
	for i, slot := 0, unsafe.Slice((*uint32)(unsafe.Pointer(&r.rings[p.sqOff.array])), p.sqEntries); i < len(slot); i++ {
		slot[i] = uint32(i)
	}
	r.sqMask, r.cqMask = p.sqEntries-1, p.cqEntries-1
	r.tail = atomic.LoadUint32(r.sqTail)
	r.held = make([]*unix.Iovec, p.sqEntries)
	return nil
}

func (r *Ring) mapping(offset int64, size int) ([]byte, error) {
	m, err := unix.Mmap(r.fd, offset, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("mapping of io_uring: %w", err)
	}
	return m, nil
}

// Enable gives the ring to the calling thread.
//
// Precondition: it is called once, on a goroutine that is locked to its thread
// and makes all other calls.
func (r *Ring) Enable() error {
	if _, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), registerEnableRings, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("io_uring: enable: %w", errno)
	}
	return nil
}

// Close gives the ring back. Operations that have not completed may still read
// and write their buffers afterwards.
func (r *Ring) Close() error {
	var errs []error
	for _, m := range [][]byte{r.rings, r.array} {
		if m != nil {
			errs = append(errs, unix.Munmap(m))
		}
	}
	r.rings, r.array, r.sqes, r.cqes = nil, nil, nil, nil
	return errors.Join(append(errs, unix.Close(r.fd))...)
}
