package uring

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/uring/uringtest"
)

// newRing makes a ring of the test's own thread.
func newRing(t *testing.T, entries uint32) *Ring {
	t.Helper()
	r, err := New(entries)
	if errors.Is(err, ErrUnavailable) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		runtime.UnlockOSThread()
	})
	if err := r.Enable(); err != nil {
		t.Fatal(err)
	}
	return r
}

// collect enters until n completions have come.
func collect(t *testing.T, r *Ring, n int) []Completion {
	t.Helper()
	var got []Completion
	for {
		for c, ok := r.Next(); ok; c, ok = r.Next() {
			got = append(got, c)
		}
		if len(got) >= n {
			return got
		}
		if err := r.Enter(true); err != nil {
			t.Fatal(err)
		}
	}
}

// one collects the one completion that there is to be.
func one(t *testing.T, r *Ring) Completion {
	t.Helper()
	got := collect(t, r, 1)
	if len(got) != 1 {
		t.Fatalf("completions: got %+v; want one", got)
	}
	return got[0]
}

func vec(parts ...[]byte) []unix.Iovec {
	var iov []unix.Iovec
	for _, p := range parts {
		v := unix.Iovec{Base: &p[0]}
		v.SetLen(len(p))
		iov = append(iov, v)
	}
	return iov
}

func tempFile(t *testing.T, content []byte) (*os.File, int) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f, int(f.Fd())
}

func TestReadAndWrite(t *testing.T) {
	r := newRing(t, 8)
	f, fd := tempFile(t, make([]byte, 8192))
	r.Writev(1, fd, vec([]byte("abc"), []byte("defg")), 4095, 0)
	if diff := cmp.Diff(Completion{Token: 1, Result: 7}, one(t, r)); diff != "" {
		t.Errorf("writev (-want +got):\n%s", diff)
	}
	r.Writev(2, fd, vec([]byte("durable")), 0, unix.RWF_DSYNC)
	r.Fdatasync(3, fd)
	got := collect(t, r, 2)
	slices.SortFunc(got, func(a, b Completion) int { return int(a.Token) - int(b.Token) })
	if diff := cmp.Diff([]Completion{{Token: 2, Result: 7}, {Token: 3}}, got); diff != "" {
		t.Errorf("writev and fdatasync (-want +got):\n%s", diff)
	}
	a, b := make([]byte, 2), make([]byte, 5)
	r.Readv(1<<63, fd, vec(a, b), 4095)
	if diff := cmp.Diff(Completion{Token: 1 << 63, Result: 7}, one(t, r)); diff != "" {
		t.Errorf("readv (-want +got):\n%s", diff)
	}
	if got := string(a) + string(b); got != "abcdefg" {
		t.Errorf("read: got %q; want %q", got, "abcdefg")
	}
	r.Readv(5, fd, vec(a), 8192)
	if got := one(t, r).Result; got != 0 {
		t.Errorf("readv at the end: got %d; want 0", got)
	}
	r.Readv(6, -1, vec(a), 0)
	if got := one(t, r).Result; got != -int32(unix.EBADF) {
		t.Errorf("readv without a file: got %d; want %d", got, -int32(unix.EBADF))
	}
	content, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	if got := string(content[:7]); got != "durable" {
		t.Errorf("file: got %q; want %q", got, "durable")
	}
}

func TestFallocate(t *testing.T) {
	r := newRing(t, 4)
	_, fd := tempFile(t, bytes.Repeat([]byte{7}, 3*4096))
	r.Fallocate(1, fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 4096, 4096)
	if got := one(t, r).Result; got != 0 {
		t.Fatalf("fallocate: got %d; want 0", got)
	}
	at, err := unix.Seek(fd, 0, unix.SEEK_HOLE)
	if err != nil || at != 4096 {
		t.Errorf("first hole: got %d, %v; want 4096", at, err)
	}
}

func TestPollGoesOn(t *testing.T) {
	r := newRing(t, 4)
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	r.Poll(9, fd)
	if err := r.Enter(false); err != nil {
		t.Fatal(err)
	}
	if c, ok := r.Next(); ok {
		t.Fatalf("before an event: got %+v; want nothing", c)
	}
	for range 3 { // without anybody reading the event
		if _, err := unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
			t.Fatal(err)
		}
		if c := one(t, r); c.Token != 9 || c.Result&unix.POLLIN == 0 || !c.More {
			t.Fatalf("an event: got %+v; want token 9, POLLIN, more", c)
		}
	}
	r.Cancel(10, 9)
	got := collect(t, r, 2)
	slices.SortFunc(got, func(a, b Completion) int { return int(a.Token) - int(b.Token) })
	if diff := cmp.Diff([]Completion{{Token: 9, Result: -int32(unix.ECANCELED)}, {Token: 10}}, got); diff != "" {
		t.Errorf("cancel (-want +got):\n%s", diff)
	}
}

// TestMoreThanFits has the kernel keep completions that the ring has no room for.
func TestMoreThanFits(t *testing.T) {
	r := newRing(t, 4)
	if got := r.Room(); got != 4 {
		t.Fatalf("room: got %d; want 4", got)
	}
	var want, got []uint64
	for i := range uint64(40) {
		r.Nop(i)
		want = append(want, i)
		if r.Room() == 0 {
			if err := r.Enter(false); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range collect(t, r, 40) {
		got = append(got, c.Token)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
}

func TestOverrunPanics(t *testing.T) {
	r := newRing(t, 1)
	r.Nop(1)
	defer func() {
		if recover() == nil {
			t.Error("a submission too many: got no panic; want one")
		}
	}()
	r.Nop(2)
}

func TestRefusedSizes(t *testing.T) {
	for _, n := range []uint32{0, MaxEntries + 1} {
		if r, err := New(n); err == nil || errors.Is(err, ErrUnavailable) {
			t.Errorf("New(%d): got %v, %v; want an error that is not ErrUnavailable", n, r, err)
		}
	}
}

// TestUnavailable runs the test again behind a filter of system calls such as
// containers have.
func TestUnavailable(t *testing.T) {
	if !uringtest.Refused(t) {
		return
	}
	if r, err := New(4); !errors.Is(err, ErrUnavailable) {
		t.Errorf("New: got %v, %v; want ErrUnavailable", r, err)
	}
}
