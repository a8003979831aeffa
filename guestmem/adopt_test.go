package guestmem

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// copies are further descriptors of a memory's files.
func copies(t *testing.T, m *Memory) []*os.File {
	t.Helper()
	var files []*os.File
	for _, f := range m.Files() {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		c := os.NewFile(uintptr(fd), "copy")
		t.Cleanup(func() { c.Close() })
		files = append(files, c)
	}
	return files
}

func TestAdoptSharesEveryPageAndAllocatesNone(t *testing.T) {
	layout := Layout{{0, 16 << 20}, {holeEnd, 16 << 20}}
	ours, err := New(layout)
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	page := make([]byte, PageSize)
	page[0] = 1
	for _, r := range layout {
		if err := ours.Place(r.GPA+PageSize, page); err != nil {
			t.Fatal(err)
		}
	}
	theirs, err := Adopt(layout, copies(t, ours))
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	if n, err := theirs.DataBytes(); err != nil || n != 2*PageSize {
		t.Errorf("got %d bytes of data, %v; want the two pages", n, err)
	}
	if err := theirs.Place(holeEnd, page); err != nil {
		t.Fatal(err)
	}
	if n, err := ours.DataBytes(); err != nil || n != 3*PageSize {
		t.Errorf("got %d bytes of data, %v; want what the other wrote too", n, err)
	}
	if err := ours.Close(); err != nil {
		t.Fatal(err)
	}
	got, want := make([]byte, PageSize), page
	if err := theirs.regions[1].read(got, PageSize); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after the other was closed (-want +got):\n%s", diff)
	}
}

func TestAdoptRefusesWhatIsNoGuestMemory(t *testing.T) {
	layout := Layout{{0, 16 << 20}}
	sized := func(f *os.File, size int64) *os.File {
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	memfd := func(flags int, size int64, add int) *os.File {
		fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC|flags)
		if err != nil {
			t.Fatal(err)
		}
		f := sized(os.NewFile(uintptr(fd), "test"), size)
		if add != 0 {
			if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, add); err != nil {
				t.Fatal(err)
			}
		}
		return f
	}
	plain, err := os.Create(filepath.Join(t.TempDir(), "plain"))
	if err != nil {
		t.Fatal(err)
	}
	for i, files := range [][]*os.File{
		{},
		{sized(plain, 16<<20)},
		{memfd(0, 16<<20, 0)},
		{memfd(unix.MFD_ALLOW_SEALING, 16<<20, 0)},
		{memfd(unix.MFD_ALLOW_SEALING, 16<<20, seals|unix.F_SEAL_WRITE)},
		{memfd(unix.MFD_ALLOW_SEALING, 8<<20, seals)},
		{memfd(unix.MFD_ALLOW_SEALING, 16<<20, seals), memfd(unix.MFD_ALLOW_SEALING, 16<<20, seals)},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			m, err := Adopt(layout, files)
			if !errors.Is(err, ErrForeign) {
				t.Errorf("got %v, %v; want ErrForeign", m, err)
			}
			for _, f := range files {
				if _, err := f.Stat(); err != nil {
					t.Errorf("the file is not ours any more: %v", err)
				}
			}
		})
	}
}
