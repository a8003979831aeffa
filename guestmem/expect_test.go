package guestmem_test

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/guestmem"
)

// skipWithoutCollapse skips where the kernel makes no huge pages of a memfd's pages.
func skipWithoutCollapse(t *testing.T) {
	t.Helper()
	var u unix.Utsname
	check(t, unix.Uname(&u))
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err != nil || major < 6 || major == 6 && minor < 1 {
		t.Skipf("Linux %s has no MADV_COLLAPSE: 6.1 has", unix.ByteSliceToString(u.Release[:]))
	}
	const setting = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
	if b, err := os.ReadFile(setting); err != nil || bytes.Contains(b, []byte("[deny]")) {
		t.Skipf("%s: %q, %v", setting, b, err)
	}
}

// A huge page is seen by its being data as a whole before anything was placed in it.
func TestExpect(t *testing.T) {
	skipWithoutCollapse(t)
	m := newMemory(t, split)
	rooms := []struct {
		at   uint64
		size int
	}{{}, {2 * mib, 2 * mib}, {6 * mib, 4 * mib}, {4 * mib, 2 * mib}, {high, 2 * mib}, {}}
	steps := []struct {
		name      string
		gpa, size uint64
		want      uint64 // data behind it, in bytes
	}{
		{"less than a block", 2 * mib, 2*mib - page, 0},
		{"a block", 2 * mib, 2 * mib, 2 * mib},
		{"two and their neighbours' halves", 5 * mib, 6 * mib, 6 * mib},
		{"those around what is here", 4 * mib, 8 * mib, 10 * mib},
		{"the other region", high, 2 * mib, 12 * mib},
		{"outside", 1 << 40, 2 * mib, 12 * mib},
	}
	for i, s := range steps {
		at, room := m.Expect(s.gpa, s.size)
		if w := rooms[i]; len(room) != w.size || w.size > 0 && at != w.at {
			t.Errorf("%s: got room of %d bytes at %#x; want %d at %#x", s.name, len(room), at, w.size, w.at)
		}
		if got := dataBytes(t, m); got != s.want {
			t.Errorf("%s: got %d bytes of data; want %d", s.name, got, s.want)
		}
	}
	check(t, m.Place(2*mib, pages(512, 7)))
	check(t, m.Punch(2*mib+page, page))
	got := make([]byte, 3*page)
	check(t, m.ReadAt(got, 2*mib))
	if want := append(append(pages(1, 7), pages(1, 0)...), pages(1, 7)...); !bytes.Equal(got, want) {
		t.Error("a page punched out of a huge one: got others than zeros between sevens")
	}
}

// What is filled where Expect says is the guest's, and noted.
func TestFilled(t *testing.T) {
	skipWithoutCollapse(t)
	m := newMemory(t, split)
	at, room := m.Expect(3*mib, 4*mib)
	if at != 4*mib || len(room) != 2*mib {
		t.Fatalf("got %d bytes at %#x; want a block at 4 MiB", len(room), at)
	}
	copy(room, pages(512, 9))
	if m.Received(at) {
		t.Error("pages that nobody has filled are noted")
	}
	check(t, m.Filled(at, uint64(len(room))))
	got := make([]byte, len(room))
	check(t, m.ReadAt(got, at))
	if !bytes.Equal(got, pages(512, 9)) || !m.Received(at) || !m.Received(at+2*mib-page) || m.Received(at+2*mib) || m.Received(at-page) {
		t.Error("what was filled is not what is there, or is noted as something else")
	}
	if err := m.Filled(at+1, page); err == nil {
		t.Error("half a page was noted")
	}
}

// A block that a page was placed in is left to single pages.
func TestExpectSome(t *testing.T) {
	m := newMemory(t, split)
	check(t, m.Place(3*mib, pages(1, 7)))
	m.Expect(2*mib, 2*mib)
	if got := dataBytes(t, m); got != page {
		t.Errorf("got %d bytes of data; want a page", got)
	}
}

// Huge pages come before something is missing, and not after; what is missing of them is waited for.
func TestExpectPull(t *testing.T) {
	skipWithoutCollapse(t)
	p := newPuller(t, split)
	p.mem.Expect(2*mib, 4*mib)
	check(t, p.mem.Place(2*mib, pages(1024, 1)))
	check(t, p.pull.Map(2*mib, 4*mib))
	before := dataBytes(t, p.mem)
	if before != 4*mib {
		t.Errorf("got %d bytes of data; want 4 MiB", before)
	}
	check(t, p.pull.Miss([]guestmem.Range{{GPA: 3 * mib, Size: page}, {GPA: 8 * mib, Size: 2 * mib}}))
	before = dataBytes(t, p.mem)
	p.mem.Expect(12*mib, 2*mib)
	if got := dataBytes(t, p.mem); got > before+page {
		t.Errorf("while pages are missing: got %d bytes more of data; want none but a page", got-before)
	}
	p.reads(2*mib, 1)
	read := p.load(3 * mib)
	p.want(3 * mib)
	p.fill(3*mib, pages(1, 2), 1)
	if got := <-read; got != 2 {
		t.Errorf("the guest reads %d; want what came late", got)
	}
	p.fill(8*mib, pages(512, 3), 512)
	p.reads(9*mib, 3)
	p.close()
}
