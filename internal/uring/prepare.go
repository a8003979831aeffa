package uring

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Room is how many submissions can be prepared before the next Enter.
func (r *Ring) Room() int {
	return len(r.sqes) - int(r.tail-atomic.LoadUint32(r.sqHead))
}

// prepare puts a submission into the ring. token comes back with the completion.
func (r *Ring) prepare(token uint64, e sqe, iov *unix.Iovec) {
	if r.Room() == 0 {
		panic("uring: a submission without room for it")
	}
	e.userData = token
	slot := r.tail & r.sqMask
	r.sqes[slot], r.held[slot] = e, iov
	r.tail++
}

// Each of the following prepares one operation, for the next Enter. Their result
// comes with a completion that bears token: what the system call of the same
// name returns, or a negative error number.
//
// Precondition of all: Room() > 0.

// Readv reads from fd at offset, in bytes, as preadv2 does. The iovecs must stay
// as they are until Enter has submitted them, their buffers until the completion.
//
// Precondition: iov is not empty.
func (r *Ring) Readv(token uint64, fd int, iov []unix.Iovec, offset int64) {
	r.prepare(token, vector(opReadv, fd, iov, offset, 0), &iov[0])
}

// Writev writes to fd at offset, in bytes, as pwritev2 does, with its flags:
// RWF_DSYNC completes when the data is durable. Otherwise as Readv.
func (r *Ring) Writev(token uint64, fd int, iov []unix.Iovec, offset int64, flags uint32) {
	r.prepare(token, vector(opWritev, fd, iov, offset, flags), &iov[0])
}

// vector describes an operation on iovecs.
func vector(op uint8, fd int, iov []unix.Iovec, offset int64, flags uint32) sqe {
	p := unsafe.Pointer(&iov[0])
	// SAFETY: the address is that of iovecs which the ring holds (prepare), hence on the heap, where objects stay in place;
	// the kernel copies them while they are submitted (featSubmitStable).
	return sqe{opcode: op, fd: int32(fd), off: uint64(offset), addr: uint64(uintptr(p)), len: uint32(len(iov)), opFlags: flags}
}

// Fdatasync makes durable what was written to fd by writes that had completed.
func (r *Ring) Fdatasync(token uint64, fd int) {
	r.prepare(token, sqe{opcode: opFsync, fd: int32(fd), opFlags: fsyncDatasync}, nil)
}

// Fallocate changes how length bytes at offset are allocated: mode is that of
// fallocate(2), such as FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE.
func (r *Ring) Fallocate(token uint64, fd int, mode uint32, offset, length int64) {
	r.prepare(token, sqe{opcode: opFallocate, fd: int32(fd), off: uint64(offset), addr: uint64(length), len: mode}, nil)
}

// Poll completes each time that fd has become readable, until a completion says
// that it is the last.
func (r *Ring) Poll(token uint64, fd int) {
	r.prepare(token, sqe{opcode: opPollAdd, fd: int32(fd), len: pollMulti, opFlags: unix.POLLIN}, nil)
}

// Cancel asks for the end of the operation whose token is target. Its result is
// 0, or ENOENT or EALREADY as a negative number; the operation itself completes too.
func (r *Ring) Cancel(token, target uint64) {
	r.prepare(token, sqe{opcode: opAsyncCancel, fd: -1, addr: target}, nil)
}

// Nop does nothing, and completes with 0.
func (r *Ring) Nop(token uint64) {
	r.prepare(token, sqe{opcode: opNop, fd: -1}, nil)
}
