package virtiotest

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// ErrOutside is what View says of what is not memory.
var ErrOutside = errors.New("outside the fake guest's memory")

const pageSize = 4096

// Memory is a guest's memory. It knows each byte that was marked dirty, and
// hands out pieces of itself.
type Memory struct {
	t     testing.TB
	base  uint64
	bytes []byte
	under virtio.Memory // nil: there is none below

	mu     sync.Mutex // guards what follows
	marked []bool     // one a byte
	top    uint64     // what is below, from base, was handed out once
	free   map[uint64][]uint64
}

var _ virtio.Memory = (*Memory)(nil)

// NewMemory maps size bytes at guest-physical address 0, with a page that faults
// on either side: a whole number of pages.
func NewMemory(t testing.TB, size uint64) *Memory {
	t.Helper()
	if size == 0 || size%pageSize != 0 {
		t.Fatalf("fake guest memory of %d bytes; want whole pages", size)
	}
	// Not of Go's heap: the race detector would take the guest for one of our goroutines.
	all, err := unix.Mmap(-1, 0, int(size+2*pageSize), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		t.Fatalf("fake guest memory: %v", err)
	}
	t.Cleanup(func() { _ = unix.Munmap(all) })
	bytes := all[pageSize : pageSize+size : pageSize+size]
	if err := unix.Mprotect(bytes, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		t.Fatalf("fake guest memory: %v", err)
	}
	return newMemory(t, 0, bytes)
}

// Wrap is memory for a driver inside [base, base+size) of another, like a
// *guestmem.Memory: marks are noted and passed on.
func Wrap(t testing.TB, under virtio.Memory, base, size uint64) *Memory {
	t.Helper()
	bytes, err := under.View(base, size)
	if err != nil {
		t.Fatalf("wrap guest memory: %v", err)
	}
	m := newMemory(t, base, bytes)
	m.under = under
	return m
}

func newMemory(t testing.TB, base uint64, bytes []byte) *Memory {
	return &Memory{t: t, base: base, bytes: bytes, marked: make([]bool, len(bytes)), free: make(map[uint64][]uint64)}
}

// View implements virtio.Memory. Error: ErrOutside, or that of the memory below.
func (m *Memory) View(gpa, size uint64) ([]byte, error) {
	if m.under != nil {
		return m.under.View(gpa, size)
	}
	if err := m.Check(gpa, size); err != nil {
		return nil, err
	}
	return m.bytes[gpa-m.base:][:size:size], nil
}

// Check implements virtio.Memory.
func (m *Memory) Check(gpa, size uint64) error {
	if m.under != nil {
		return m.under.Check(gpa, size)
	}
	if !m.inside(gpa, size) {
		return fmt.Errorf("%w: [%#x, +%#x)", ErrOutside, gpa, size)
	}
	return nil
}

func (m *Memory) inside(gpa, size uint64) bool {
	n := uint64(len(m.bytes))
	return gpa >= m.base && gpa-m.base < n && size <= n-(gpa-m.base)
}

// MarkDirty implements virtio.Memory. A mark outside memory fails the test.
func (m *Memory) MarkDirty(gpa, size uint64) {
	if m.under != nil {
		m.under.MarkDirty(gpa, size)
	}
	if !m.inside(gpa, size) {
		if m.under == nil {
			m.t.Errorf("marked dirty: got [%#x, +%#x); want what is in memory", gpa, size)
		}
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	marks := m.marked[gpa-m.base:][:size]
	for i := range marks {
		marks[i] = true
	}
}

// Dirty tells whether every byte of a range was marked. What is outside never is.
func (m *Memory) Dirty(gpa, size uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.inside(gpa, size) && !slices.Contains(m.marked[gpa-m.base:][:size], false)
}

// Clean forgets the marks of a range.
func (m *Memory) Clean(gpa, size uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.inside(gpa, size) {
		clear(m.marked[gpa-m.base:][:size])
	}
}

// Bytes is a range as the guest sees it. It fails the test unless all of it is memory.
func (m *Memory) Bytes(gpa, size uint64) []byte {
	m.t.Helper()
	b, err := m.View(gpa, size)
	if err != nil {
		m.t.Fatal(err)
	}
	return b
}

// Alloc hands out size bytes, aligned to the power of two above, at most a page.
// What is in them is arbitrary.
func (m *Memory) Alloc(size uint64) (gpa uint64) {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	class := classOf(size)
	if list := m.free[class]; len(list) > 0 {
		m.free[class] = list[:len(list)-1]
		return list[len(list)-1]
	}
	align := min(class, pageSize)
	start := (m.base + m.top + align - 1) &^ (align - 1)
	if !m.inside(start, class) {
		m.t.Fatalf("fake guest memory of %d bytes is used up", len(m.bytes))
	}
	m.top = start + class - m.base
	return start
}

// Free takes back what Alloc handed out.
func (m *Memory) Free(gpa, size uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	class := classOf(size)
	m.free[class] = append(m.free[class], gpa)
}

// classOf is the size, a power of two, of the pieces that size is cut from.
func classOf(size uint64) uint64 { return 1 << max(4, bits.Len64(max(size, 1)-1)) }
