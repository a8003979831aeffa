//go:build ferryhostile

package uring

import (
	"errors"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What somebody who has taken a process over would do with a ring, for a build of the tests. The error is the operation's.

const (
	opConnect = 16
	opOpenat  = 18
	opSocket  = 45
)

// AttackOpen opens a file.
func AttackOpen(r *Ring) error {
	path := []byte("/etc/passwd\x00")
	// SAFETY: one keeps what the address points to in place until the operation has completed.
	_, err := r.one(sqe{opcode: opOpenat, fd: unix.AT_FDCWD}, unsafe.Pointer(&path[0]))
	return err
}

// AttackSend makes a socket and sends a packet to a port of this host, and to the rest of the world.
func AttackSend(r *Ring) error {
	return errors.Join(r.reach(unix.SOCK_DGRAM, 127, 0, 0, 1), r.reach(unix.SOCK_DGRAM, 10, 0, 0, 1))
}

// AttackTCP makes a socket and connects it to a port of this host.
func AttackTCP(r *Ring) error { return r.reach(unix.SOCK_STREAM, 127, 0, 0, 1) }

// AttackUnix makes a socket and connects it to another process.
func AttackUnix(r *Ring) error {
	fd, err := r.one(sqe{opcode: opSocket, fd: unix.AF_UNIX, off: unix.SOCK_STREAM}, nil)
	if err != nil {
		return err
	}
	defer unix.Close(int(fd))
	name := unix.RawSockaddrUnix{Family: unix.AF_UNIX}
	for i, c := range "/run/systemd/private" {
		name.Path[i] = int8(c)
	}
	// SAFETY: one keeps what the address points to in place until the operation has completed.
	_, err = r.one(sqe{opcode: opConnect, fd: fd, off: uint64(unsafe.Sizeof(name))}, unsafe.Pointer(&name))
	return err
}

// reach makes a socket and connects it to an address; of UDP, that asks for a route to it.
func (r *Ring) reach(kind uint64, a, b, c, d byte) error {
	fd, err := r.one(sqe{opcode: opSocket, fd: unix.AF_INET, off: kind}, nil)
	if err != nil {
		return err
	}
	defer unix.Close(int(fd))
	name := unix.RawSockaddrInet4{Family: unix.AF_INET, Port: 0x1600, Addr: [4]byte{a, b, c, d}}
	// SAFETY: one keeps what the address points to in place until the operation has completed.
	_, err = r.one(sqe{opcode: opConnect, fd: fd, off: uint64(unsafe.Sizeof(name))}, unsafe.Pointer(&name))
	return err
}

// one does one operation on what is at p.
//
// SAFETY: p is pinned until the operation has completed.
func (r *Ring) one(e sqe, p unsafe.Pointer) (int32, error) {
	var pin runtime.Pinner
	if p != nil {
		pin.Pin(p)
	}
	defer pin.Unpin()
	// SAFETY: what p points to is pinned until the operation has completed.
	e.addr = uint64(uintptr(p))
	r.prepare(1, e, nil)
	for {
		if err := r.Enter(true); err != nil {
			return -1, err
		}
		if c, ok := r.Next(); ok {
			if c.Result < 0 {
				return -1, unix.Errno(-c.Result)
			}
			return c.Result, nil
		}
	}
}
