package loadgen_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

const pageSize = 4096

// ram is the memory of a running guest, from outside.
type ram struct {
	file  *os.File
	size  int
	pages int   // owned
	first int64 // address of owned page 0; the memory must lie in one piece
}

// bootWithRAM boots one CPU on memory that the test can reach, and waits for READY.
func bootWithRAM(t *testing.T, g guest) (*running, *ram) {
	t.Helper()
	dir := t.TempDir()
	if shm, err := os.MkdirTemp("/dev/shm", "loadgen"); err == nil { // a disk would write it all back
		t.Cleanup(func() { os.RemoveAll(shm) })
		dir = shm
	}
	g.memoryFile = filepath.Join(dir, "ram")
	g.defaults(t)
	r := bootQEMU(t, g)
	info, _ := r.await(t, "INFO")
	r.await(t, "READY")
	file, err := os.OpenFile(g.memoryFile, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	m := &ram{file: file, size: g.memory << 20}
	var cpus int
	if _, err := fmt.Sscanf(info, "INFO cpus=%d pages=%d first=0x%x", &cpus, &m.pages, &m.first); err != nil {
		t.Fatalf("%q: %v", info, err)
	}
	return r, m
}

func (m *ram) address(page int) int64 { return m.first + int64(page)*pageSize }

func (m *ram) read(t *testing.T, address int64, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := m.file.ReadAt(b, address); err != nil {
		t.Fatal(err)
	}
	return b
}

func (m *ram) write(t *testing.T, address int64, b []byte) {
	t.Helper()
	if _, err := m.file.WriteAt(b, address); err != nil {
		t.Fatal(err)
	}
}

func (m *ram) page(t *testing.T, page int) []byte { return m.read(t, m.address(page), pageSize) }

func generation(page []byte) uint64 { return binary.LittleEndian.Uint64(page[16:]) }

// older returns an owned page's content after the guest has rewritten it.
func (m *ram) older(t *testing.T, page int) []byte {
	t.Helper()
	old := m.page(t, page)
	for end := time.Now().Add(patience); generation(m.page(t, page)) == generation(old); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("page %d: got generation %d for %v; want it rewritten", page, generation(old), patience)
		}
	}
	return old
}

var corrupt = regexp.MustCompile(`^CORRUPT page=(\d+) expected=(\d+)\.(\d+)\.(0x[0-9a-f]+) got=(\d+)\.(\d+)\.(0x[0-9a-f]+)$`)

// awaitCorrupt returns the next report of a page and its expected and found number, generation and checksum.
func awaitCorrupt(t *testing.T, r *running) (page int, expected, got [3]string) {
	t.Helper()
	line, _ := r.await(t, "CORRUPT")
	m := corrupt.FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("got %q; want a match of %v", line, corrupt)
	}
	page, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return page, [3]string(m[2:5]), [3]string(m[5:8])
}

// checkCounted: the total of corruption becomes n and stays there: each is counted once.
func checkCounted(t *testing.T, r *running, n float64) {
	t.Helper()
	s, _ := r.until(t, "a STAT after the corruption", func(s stat) bool { return s["corrupt"] >= n })
	later, _ := r.until(t, "two more passes", func(l stat) bool { return l["passes"] >= s["passes"]+2 })
	if later["corrupt"] != n {
		t.Errorf("got corrupt=%v; want %v", later["corrupt"], n)
	}
}

func TestNoticesAFlippedBit(t *testing.T) {
	t.Parallel()
	r, m := bootWithRAM(t, guest{cmdline: "data=mixed"})
	at := []int{0, 8, 16, 24, 32, 2047, 2048, 4095} // bytes: every header word, payload, zeros
	for i, offset := range at {
		page := i * 37
		b := m.page(t, page)
		b[offset] ^= 1 << (i % 8)
		m.write(t, m.address(page), b)
		got, _, _ := awaitCorrupt(t, r)
		if got != page {
			t.Errorf("bit %d of byte %d of page %d flipped: got a report of page %d", i%8, offset, page, got)
		}
	}
	checkCounted(t, r, float64(len(at)))
}

func TestNoticesAZeroPage(t *testing.T) {
	t.Parallel()
	r, m := bootWithRAM(t, guest{})
	m.write(t, m.address(4000), make([]byte, pageSize))
	page, _, got := awaitCorrupt(t, r)
	if page != 4000 || got != [3]string{"0", "0", "0x0"} {
		t.Errorf("got page %d found as %v; want 4000 found as zeros", page, got)
	}
	checkCounted(t, r, 1)
}

func TestNoticesSwappedPages(t *testing.T) {
	t.Parallel()
	r, m := bootWithRAM(t, guest{})
	a, b := m.page(t, 100), m.page(t, 8000)
	m.write(t, m.address(100), b)
	m.write(t, m.address(8000), a)
	got := map[int]string{}
	for range 2 {
		page, _, found := awaitCorrupt(t, r)
		got[page] = found[0]
	}
	if got[100] != "8000" || got[8000] != "100" {
		t.Errorf("got %v; want page 100 found as 8000 and 8000 as 100", got)
	}
	checkCounted(t, r, 2)
}

func TestNoticesAStalePage(t *testing.T) {
	for _, load := range []string{
		"rate=8 verify=0 wss=1", // noticed by the writer, which must look before it overwrites
		"rate=8 verify=0 wss=1 order=rand",
		"rate=2 wss=1 verify=200", // noticed by the pass
	} {
		t.Run(load, func(t *testing.T) {
			t.Parallel()
			r, m := bootWithRAM(t, guest{cmdline: load})
			old := m.older(t, 5)
			m.write(t, m.address(5), old)
			page, expected, got := awaitCorrupt(t, r)
			if page != 5 || got[0] != "5" || got[1] != fmt.Sprint(generation(old)) || expected[1] == got[1] {
				t.Errorf("got page %d, expected %v, found %v; want page 5 found with generation %d", page, expected, got, generation(old))
			}
		})
	}
}

// The generations lie just before the pages.
func TestNoticesStaleGenerations(t *testing.T) {
	t.Parallel()
	r, m := bootWithRAM(t, guest{cmdline: "rate=10 wss=1"})
	const table = 2 << 20
	old := m.read(t, table, pageSize)
	m.older(t, 5)
	m.write(t, table, old)
	_, expected, got := awaitCorrupt(t, r)
	if e, g := number(t, expected[1]), number(t, got[1]); e >= g {
		t.Errorf("got generation %d expected and %d found; want an older one expected", e, g)
	}
}

// A page and its generation that are stale together agree; the total of writes does not.
func TestNoticesAStalePageWithItsGeneration(t *testing.T) {
	t.Parallel()
	r, m := bootWithRAM(t, guest{cmdline: "rate=1 wss=1"})
	const table = 2 << 20
	r.qmp.stopAsleep(t)
	generations, pages := m.read(t, table, pageSize), m.read(t, m.first, 256*pageSize)
	r.qmp.do(t, "cont")
	r.until(t, "a second of writing", func(s stat) bool { return s["write_mib_s"] > 0.5 })
	r.qmp.stopAsleep(t)
	m.write(t, table, generations)
	m.write(t, m.first, pages)
	r.qmp.do(t, "cont")
	line, _ := r.await(t, "CORRUPT")
	if !strings.HasPrefix(line, "CORRUPT page=generations0 ") {
		t.Errorf("got %q; want a report of the generations", line)
	}
}

// All memory of an earlier instant is consistent in itself; the registers are newer.
func TestNoticesAStaleImage(t *testing.T) {
	t.Parallel()
	r, m := bootWithRAM(t, guest{memory: 32, cmdline: "fill=4 rate=0 heartbeat=0 verify=0"})
	const base = 1 << 20
	r.qmp.stopAsleep(t)
	image := m.read(t, base, m.size-base)
	r.qmp.do(t, "cont")
	r.await(t, "STAT")
	r.qmp.stopAsleep(t)
	m.write(t, base, image)
	r.qmp.do(t, "cont")
	line, _ := r.await(t, "CORRUPT")
	if !strings.HasPrefix(line, "CORRUPT page=epoch0 ") {
		t.Errorf("got %q; want a report of the epoch", line)
	}
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
