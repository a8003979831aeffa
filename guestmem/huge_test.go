package guestmem_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/guestmem/guestmemtest"
	"github.com/ferryvmm/ferry/internal/hugetest"
)

// newHuge is newMemory with huge pages, which the host gets for the test.
func newHuge(t testing.TB, layout guestmem.Layout) *guestmem.Memory {
	t.Helper()
	hugetest.Reserve(t, int(layout.Size()/(2*mib)))
	m, err := guestmem.NewHuge(layout)
	check(t, err)
	t.Cleanup(func() { check(t, m.Close()) })
	return m
}

func TestHuge(t *testing.T) {
	m := newHuge(t, split)
	vm := guestmemtest.NewVM(guestmemtest.Manual)
	check(t, vm.Attach(m))
	extents := func(want ...guestmem.Range) {
		t.Helper()
		got, err := m.Extents()
		check(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("extents (-want +got):\n%s", diff)
		}
	}
	extents()
	got := make([]byte, 4*mib)
	check(t, m.ReadAt(got, 5*mib))
	extents()
	check(t, vm.Store([]byte{1}, 3*mib))   // by the guest
	check(t, m.WriteAt([]byte{2}, high))   // by us
	check(t, m.Place(12*mib, pages(1, 3))) // by a peer
	check(t, m.PlaceHole(14*mib, mib))
	first, second, third := guestmem.Range{GPA: 2 * mib, Size: 2 * mib}, guestmem.Range{GPA: 12 * mib, Size: 2 * mib}, guestmem.Range{GPA: high, Size: 2 * mib}
	extents(first, second, third)
	check(t, m.ReadAt(got[:3], 3*mib-1))
	if !bytes.Equal(got[:3], []byte{0, 1, 0}) {
		t.Errorf("ReadAt: got %v; want what the guest wrote", got[:3])
	}
	check(t, m.Punch(3*mib, 5*mib)) // zeros, where there was something
	extents(first, second, third)
	check(t, vm.Load(got[:1], 3*mib))
	if got[0] != 0 {
		t.Errorf("after a punch: the guest reads %d; want 0", got[0])
	}
	// A move sends what was ever written, and no more.
	tr, err := m.Track()
	check(t, err)
	n, err := tr.Harvest()
	check(t, err)
	if n != 3*2*mib/page {
		t.Errorf("first round: got %d pages; want three huge ones", n)
	}
	target := newMemory(t, split)
	drain(t, tr, target, 8)
	check(t, vm.Write([]byte{4}, 9*mib))
	_, err = tr.Harvest()
	check(t, err)
	drain(t, tr, target, 8)
	if n := nonzero(t, m, target); n != 3 {
		t.Errorf("pages that are not zero: got %d; want 3", n)
	}
	check(t, tr.Close())
}

func TestHugeRefuses(t *testing.T) {
	if _, err := guestmem.NewHuge(guestmem.Layout{{GPA: 0, Size: 17 * mib}}); !errors.Is(err, guestmem.ErrLayout) {
		t.Errorf("half a huge page: got %v; want ErrLayout", err)
	}
	if _, err := guestmem.NewHuge(guestmem.Layout{{GPA: 0, Size: guestmem.MaxSize}}); !errors.Is(err, guestmem.ErrNoHugePages) || !strings.Contains(err.Error(), "nr_hugepages") {
		t.Errorf("more than there are: got %v; want ErrNoHugePages, and what to set", err)
	}
}

// A vCPU needs all of a huge page, a device only what it reads.
func TestHugePull(t *testing.T) {
	const size = 2 * mib
	p := newPullerOf(t, newHuge(t, split))
	check(t, p.mem.Place(4*mib, pages(8, 1)))
	check(t, p.mem.Place(8*mib, pages(8, 1)))
	check(t, p.pull.Map(4*mib, 8*page))
	check(t, p.pull.Map(8*mib+page, page))
	check(t, p.pull.Map(0, 16*mib))
	p.reads(4*mib+page, 1)
	p.reads(6*mib, 0)
	check(t, p.pull.Miss([]guestmem.Range{{GPA: 4*mib + 2*page, Size: 2 * page}, {GPA: high, Size: size}}))
	p.reads(8*mib+page, 1)
	got := make([]byte, page)
	check(t, p.mem.ReadAt(got, 4*mib+page)) // beside what is missing
	waits := p.load(4 * mib)
	p.want(4*mib + 2*page)
	p.want(4*mib + 3*page)
	p.fill(4*mib, pages(3, 2), 1)
	select {
	case <-waits:
		t.Error("the guest goes on with a part of the page missing")
	default:
	}
	p.fill(4*mib, pages(8, 3), 1)
	if got := <-waits; got != 1 {
		t.Errorf("the guest reads what was there: got %d; want 1", got)
	}
	p.reads(4*mib+2*page, 2)
	p.reads(4*mib+3*page, 3)
	// A device's look, and a vCPU's behind it.
	go func() { check(t, p.mem.ReadAt(make([]byte, 1), high+5*page)) }()
	p.want(high + 5*page)
	fresh := p.load(high)
	for i := range uint64(size / page) {
		if i != 5 {
			p.want(high + i*page)
		}
	}
	p.zero(high, size/2, size/2/page)
	check(t, p.mem.WriteAt(pages(1, 7), high+size-page))
	p.zero(high, size, size/2/page-1)
	if got := <-fresh; got != 0 {
		t.Errorf("the guest reads zeros: got %d", got)
	}
	p.reads(high+size-1, 7)
	<-p.pull.Done()
	p.close()
	p.reads(high+size, 0)
	if len(p.told) != 0 {
		t.Errorf("Faults told of %#x as well", <-p.told)
	}
}

// TestAdoptHuge: what of huge memory is data is not known to another process, so all of it is.
func TestAdoptHuge(t *testing.T) {
	m := newHuge(t, split)
	check(t, m.WriteAt([]byte{1, 2}, 3*mib))
	var files []*os.File
	for _, f := range m.Files() {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		check(t, err)
		files = append(files, os.NewFile(uintptr(fd), "copy"))
	}
	theirs, err := guestmem.Adopt(split, files)
	check(t, err)
	defer theirs.Close()
	got := make([]byte, 2)
	check(t, theirs.ReadAt(got, 3*mib))
	n, err := theirs.DataBytes()
	check(t, err)
	if diff := cmp.Diff([]byte{1, 2}, got); diff != "" || n != split.Size() {
		t.Errorf("got %d bytes of data; want all %d (-want +got):\n%s", n, split.Size(), diff)
	}
}
