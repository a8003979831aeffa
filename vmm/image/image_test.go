package image

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/ipc"
)

// tempImage is a sparse file of some size.
func tempImage(t *testing.T, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustOpen(t *testing.T, s Spec) *Image {
	t.Helper()
	i, err := Open(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.File.Close() })
	return i
}

func TestOpenFile(t *testing.T) {
	path := tempImage(t, 10<<20+700)
	got := mustOpen(t, Spec{ID: "d", Path: path, Cache: CacheWriteback})
	want := &Image{Kind: File, Cache: CacheWriteback, Size: 10<<20 + 512, BlockSize: 512, Alignment: 1}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Image{}, "File")); diff != "" {
		t.Errorf("image (-want +got):\n%s", diff)
	}
	if flags, err := unix.FcntlInt(got.File.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("descriptor flags: got %#x, %v; want FD_CLOEXEC", flags, err)
	}
	if _, err := got.File.WriteAt([]byte{1}, 0); err != nil {
		t.Errorf("write: got %v; want none", err)
	}
	ro := mustOpen(t, Spec{ID: "d", Path: path, ReadOnly: true})
	if _, err := ro.File.WriteAt([]byte{1}, 0); !errors.Is(err, unix.EBADF) {
		t.Errorf("write to a read-only image: got %v; want EBADF", err)
	}
}

func TestOpenDirect(t *testing.T) {
	i := mustOpen(t, Spec{ID: "d", Path: tempImage(t, 1<<20), Cache: CacheNone})
	if flags, err := unix.FcntlInt(i.File.Fd(), unix.F_GETFL, 0); err != nil || flags&unix.O_DIRECT == 0 {
		t.Fatalf("flags: got %#x, %v; want O_DIRECT", flags, err)
	}
	for name, n := range map[string]uint32{"block size": i.BlockSize, "alignment": i.Alignment} {
		if n == 0 || n&(n-1) != 0 || n > 1<<16 {
			t.Errorf("%s: got %d; want a power of two", name, n)
		}
	}
	// What it says is enough must be enough.
	pages, err := unix.Mmap(-1, 0, 2<<16, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(pages) }()
	copy(pages[i.Alignment:], bytes.Repeat([]byte{7}, int(i.BlockSize)))
	if n, err := i.File.WriteAt(pages[i.Alignment:][:i.BlockSize], int64(i.BlockSize)); err != nil {
		t.Errorf("write of a block of %d, aligned to %d: got %d, %v; want all", i.BlockSize, i.Alignment, n, err)
	}
}

// TestOpenDevice uses a loop device over a file.
func TestOpenDevice(t *testing.T) {
	path := loopDevice(t, tempImage(t, 1<<20))
	i := mustOpen(t, Spec{ID: "d", Path: path, Cache: CacheWriteback})
	want := &Image{Kind: Device, Cache: CacheWriteback, Size: 1 << 20, BlockSize: 4096, Alignment: 1}
	if diff := cmp.Diff(want, i, cmpopts.IgnoreFields(Image{}, "File")); diff != "" {
		t.Errorf("image (-want +got):\n%s", diff)
	}
	if _, err := i.File.WriteAt(bytes.Repeat([]byte{7}, 4096), 0); err != nil {
		t.Fatal(err)
	}
	if err := Sync(i.File); err != nil {
		t.Error(err)
	}
	if err := DropCache(i.File); err != nil {
		t.Error(err)
	}
}

// loopDevice makes a block device of a file.
func loopDevice(t *testing.T, path string) string {
	t.Helper()
	fail := t.Skipf
	if os.Getenv("CI") == "true" {
		fail = t.Fatalf
	}
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		fail("needs loop devices, and root: %v", err)
	}
	defer control.Close()
	backing, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer backing.Close()
	for {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			fail("needs a free loop device: %v", err)
		}
		loop, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0)
		if err != nil {
			fail("needs a free loop device: %v", err)
		}
		config := unix.LoopConfig{Fd: uint32(backing.Fd()), Size: 4096}
		err = unix.IoctlLoopConfigure(int(loop.Fd()), &config)
		if errors.Is(err, unix.EBUSY) { // somebody was faster
			loop.Close()
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.IoctlSetInt(int(loop.Fd()), unix.LOOP_CLR_FD, 0); err != nil {
				t.Error(err)
			}
			loop.Close()
		})
		return loop.Name()
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		spec Spec
		is   error
	}{
		"absent":          {Spec{Path: filepath.Join(dir, "absent")}, fs.ErrNotExist},
		"directory":       {Spec{Path: dir}, ErrUnusable},
		"pipe":            {Spec{Path: pipe, ReadOnly: true}, ErrUnusable},
		"char device":     {Spec{Path: "/dev/null"}, ErrUnusable},
		"short":           {Spec{Path: tempImage(t, 511)}, ErrUnusable},
		"empty":           {Spec{Path: tempImage(t, 0)}, ErrUnusable},
		"below a file":    {Spec{Path: tempImage(t, 512) + "/x"}, unix.ENOTDIR},
		"running program": {Spec{Path: "/proc/self/exe"}, unix.ETXTBSY},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Open(tt.spec)
			var f ipc.Failure
			if !errors.Is(err, ErrUnusable) || !errors.Is(err, tt.is) || !errors.As(err, &f) {
				t.Fatalf("got %v; want ErrUnusable and %v", err, tt.is)
			}
			if code, message, remedy := f.Failure(); code != "image" || message == "" || remedy == "" {
				t.Errorf("got %q, %q, %q; want code image, a message and a remedy", code, message, remedy)
			}
		})
	}
}

// TestRemedies are for what a test cannot bring about everywhere, or as root.
func TestRemedies(t *testing.T) {
	tests := []struct {
		spec Spec
		err  error
		want string
	}{
		{Spec{Path: "a"}, unix.EACCES, "let this user write to it, or add ,ro"},
		{Spec{Path: "a"}, unix.EROFS, "let this user write to it, or add ,ro"},
		{Spec{Path: "a", ReadOnly: true}, unix.EACCES, "let this user read it"},
		{Spec{Path: "a", Cache: CacheNone}, unix.EINVAL, "its filesystem has no direct I/O: use cache=writeback, or move the image"},
		{Spec{Path: "a"}, unix.ENXIO, "the device node has no device or medium behind it"},
		{Spec{Path: "a"}, unix.EIO, "check the path"},
	}
	for _, tt := range tests {
		if got := cannotOpen(tt.spec, tt.err); got.Remedy != tt.want || !errors.Is(got, tt.err) {
			t.Errorf("%+v, %v: got %q, %v; want %q", tt.spec, tt.err, got.Remedy, got, tt.want)
		}
	}
}

func TestDropCache(t *testing.T) {
	i := mustOpen(t, Spec{ID: "d", Path: tempImage(t, 1<<20), Cache: CacheWriteback})
	if _, err := i.File.WriteAt(bytes.Repeat([]byte{7}, 1<<20), 0); err != nil {
		t.Fatal(err)
	}
	if err := Sync(i.File); err != nil {
		t.Fatal(err)
	}
	if err := DropCache(i.File); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 4096)
	if _, err := i.File.ReadAt(p, 0); err != nil || p[0] != 7 {
		t.Errorf("read: got %d, %v; want 7", p[0], err)
	}
}

func TestTheHostChoosesTheCache(t *testing.T) {
	i := mustOpen(t, Spec{ID: "d", Path: tempImage(t, 1<<20)})
	flags, err := unix.FcntlInt(i.File.Fd(), unix.F_GETFL, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := CacheWriteback
	if flags&unix.O_DIRECT != 0 {
		want = CacheNone
	}
	if i.Cache != want || i.BlockSize != SectorSize {
		t.Errorf("got cache %q, blocks of %d, flags %#x; want %q and blocks of %d", i.Cache, i.BlockSize, flags, want, SectorSize)
	}
}
