package uring

import (
	"math"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Copied is the Result of a Notify completion that says that the kernel has copied the bytes after all.
const Copied = math.MinInt32

// Of the following, linked has the next operation wait for the success of this one: unless all of it is sent, that one is canceled.

// Sendmsg sends what msg's iovecs say to a socket, all of it unless the socket does not wait (sendmsg(2), MSG_WAITALL, MSG_NOSIGNAL).
//
// Preconditions: Room() > 0; msg and its iovecs are on the heap and stay referenced until Enter has submitted them, the buffers until the completion.
func (r *Ring) Sendmsg(token uint64, fd int, msg *unix.Msghdr, linked bool) {
	p := unsafe.Pointer(msg)
	// SAFETY: the address is that of an object on the heap, which stays in place and referenced (precondition); the kernel copies it and its
	// iovecs while they are submitted (featSubmitStable).
	r.prepare(token, sqe{opcode: opSendmsg, flags: link(linked), fd: int32(fd), addr: uint64(uintptr(p)), len: 1, opFlags: sendFlags}, nil)
}

// SendFixed is Sendmsg of p, which lies in a registered buffer, without a copy. It has two completions: what the call returns, with More, and behind that
// one with Notify, when the kernel reads p no longer; its Result is 0, or Copied. Without More there is no second.
//
// Preconditions: Room() > 0; p is not empty, and stays registered until the completion with Notify.
func (r *Ring) SendFixed(token uint64, fd int, buffer uint32, p []byte, linked bool) {
	at := unsafe.Pointer(&p[0])
	// SAFETY: the address only says which part of a registered buffer is meant: the kernel has pinned its pages.
	r.prepare(token, sqe{
		opcode: opSendZC, flags: link(linked), ioprio: sendFixedBuf | sendReportUsage, fd: int32(fd),
		addr: uint64(uintptr(at)), len: uint32(len(p)), opFlags: sendFlags, bufIndex: uint16(buffer),
	}, nil)
}

// Writable completes once when something can be written to fd, or it is broken.
func (r *Ring) Writable(token uint64, fd int, linked bool) {
	r.prepare(token, sqe{opcode: opPollAdd, flags: link(linked), fd: int32(fd), opFlags: unix.POLLOUT}, nil)
}

const sendFlags = unix.MSG_WAITALL | unix.MSG_NOSIGNAL

func link(linked bool) uint8 {
	if linked {
		return sqeLink
	}
	return 0
}
