package uffd_test

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/uffd"
	"github.com/ferryvmm/ferry/internal/uffd/uffdtest"
)

func newFD(t *testing.T) *uffd.FD {
	u, err := uffd.New(uffdtest.Open(t), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := u.Close(); err != nil {
			t.Error(err)
		}
	})
	return u
}

// address maps a page and returns where it is.
func address(t *testing.T, fd, flags int) uintptr {
	at, _, errno := unix.Syscall6(unix.SYS_MMAP, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, uintptr(flags), uintptr(fd), 0)
	if errno != 0 {
		t.Fatal(errno)
	}
	t.Cleanup(func() { _, _, _ = unix.Syscall(unix.SYS_MUNMAP, at, 4096, 0) })
	return at
}

func TestPlace(t *testing.T) {
	u := newFD(t)
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, 4096); err != nil {
		t.Fatal(err)
	}
	at := address(t, fd, unix.MAP_SHARED)
	if _, err := u.Continue(at, 4096); err == nil {
		t.Error("Continue where nothing is registered: got no error")
	}
	if err := u.Register(at, 4096); err != nil {
		t.Fatal(err)
	}
	if n, err := u.Continue(at, 4096); n != 0 || !errors.Is(err, uffd.ErrHole) {
		t.Errorf("Continue of a hole: got %d, %v; want ErrHole", n, err)
	}
	if n, err := u.Zeropage(at, 4096); n != 4096 || err != nil {
		t.Errorf("Zeropage: got %d, %v; want a page", n, err)
	}
	if n, err := u.Continue(at, 4096); n != 0 || !errors.Is(err, uffd.ErrMapped) {
		t.Errorf("Continue of a page that is mapped: got %d, %v; want ErrMapped", n, err)
	}
	if err := errors.Join(u.Wake(at, 4096), u.Unregister(at, 4096)); err != nil {
		t.Error(err)
	}
}

// A kick before a Read is not lost.
func TestKick(t *testing.T) {
	u := newFD(t)
	for range 3 {
		if err := errors.Join(u.Kick(), u.Kick()); err != nil {
			t.Fatal(err)
		}
		if n, err := u.Read(make([]uintptr, 1)); n != 0 || err != nil {
			t.Errorf("Read after a kick: got %d, %v; want nothing", n, err)
		}
	}
}

func TestUnavailable(t *testing.T) {
	if err := newFD(t).Register(address(t, -1, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS), 4096); !errors.Is(err, uffd.ErrUnavailable) {
		t.Errorf("Register of private memory: got %v; want ErrUnavailable", err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, f := range []*os.File{nil, null} {
		if _, err := uffd.New(f, false); !errors.Is(err, uffd.ErrUnavailable) {
			t.Errorf("New of %v: got %v; want ErrUnavailable", f, err)
		}
	}
}
