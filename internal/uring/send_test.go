package uring

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/tcptest"
)

// connected returns a TCP connection's descriptor, which stays the connection's, and the other end.
func connected(t *testing.T) (fd int, far net.Conn) {
	t.Helper()
	near, far := tcptest.Pair(t)
	raw, err := near.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(s uintptr) { fd = int(s) }); err != nil {
		t.Fatal(err)
	}
	return fd, far
}

// mapped is memory that can be registered.
func mapped(t *testing.T, size int) []byte {
	t.Helper()
	m, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(m) })
	return m
}

// TestSendChain sends a header and registered memory behind it, in one submission.
func TestSendChain(t *testing.T) {
	r := newRing(t, 8)
	fd, far := connected(t)
	if err := r.MakeBuffers(4); err != nil {
		t.Fatal(err)
	}
	m := mapped(t, 1<<16)
	for i := range m {
		m[i] = byte(i * 7)
	}
	if err := r.SetBuffer(2, m); err != nil {
		t.Fatal(err)
	}
	iov := vec([]byte("head"), []byte("er"))
	msg := &unix.Msghdr{Iov: &iov[0]}
	msg.SetIovlen(len(iov))
	r.Sendmsg(1, fd, msg, true)
	r.SendFixed(2, fd, 2, m[4096:8192], false)
	notes := 0
	for _, c := range collect(t, r, 3) {
		switch {
		case c.Token == 1 && c.Result == 6 && !c.More && !c.Notify:
		case c.Token == 2 && c.Result == 4096 && c.More && !c.Notify:
		case c.Token == 2 && c.Notify && (c.Result == 0 || c.Result == Copied) && !c.More:
			notes++
		default:
			t.Errorf("got %+v", c)
		}
	}
	if notes != 1 {
		t.Errorf("got %d notifications; want 1", notes)
	}
	got := make([]byte, 6+4096)
	if _, err := io.ReadFull(far, got); err != nil {
		t.Fatal(err)
	}
	if want := append([]byte("header"), m[4096:8192]...); !bytes.Equal(got, want) {
		t.Errorf("got % x…; want % x…", got[:16], want[:16])
	}
	if err := r.SetBuffer(2, nil); err != nil {
		t.Fatal(err)
	}
	r.SendFixed(3, fd, 2, m[:4096], false)
	if c := collect(t, r, 1)[0]; c.Result != -int32(unix.EFAULT) {
		t.Errorf("from an empty slot: got %+v; want EFAULT", c)
	}
}

// TestSendToABrokenSocket: a poll ends, and what is linked to it is refused.
func TestSendToABrokenSocket(t *testing.T) {
	r := newRing(t, 8)
	fd, _ := connected(t)
	if err := unix.Shutdown(fd, unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	iov := vec([]byte("x"))
	msg := &unix.Msghdr{Iov: &iov[0]}
	msg.SetIovlen(1)
	r.Writable(1, fd, true)
	r.Sendmsg(2, fd, msg, false)
	for _, c := range collect(t, r, 2) {
		if c.Token == 2 && c.Result != -int32(unix.EPIPE) {
			t.Errorf("got %+v; want EPIPE", c)
		}
	}
}

// TestMemlock: what may not be pinned is told apart.
func TestMemlock(t *testing.T) {
	r := newRing(t, 4)
	if err := r.MakeBuffers(1); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // CAP_IPC_LOCK knows no limit: but there is one of addresses
		if err := r.SetBuffer(0, make([]byte, 1)); err != nil {
			t.Errorf("got %v; want a byte of the heap registered", err)
		}
		return
	}
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 4096, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &old) }()
	if err := r.SetBuffer(0, mapped(t, 1<<20)); !errors.Is(err, ErrMemlock) {
		t.Errorf("got %v; want ErrMemlock", err)
	}
}
