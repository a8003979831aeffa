package boot_test

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/vmm/boot"
)

var le = binary.LittleEndian

// bzImage is one to build; the zero value of a field gives a valid one that
// unpacks itself.
type bzImage struct {
	payload   []byte
	room      uint32
	preferred uint64
	patch     func(b []byte)
}

const (
	setupBytes = 3 * 512 // of the built image: two sectors behind the first
	codeBytes  = 0x1000  // of its own code, before the payload
)

func (z bzImage) build(t testing.TB) []byte {
	t.Helper()
	if z.payload == nil {
		z.payload = []byte("\xfd7zXZ\x00 nothing that is unpacked here")
	}
	if z.room == 0 {
		z.room = 4 * mib
	}
	if z.preferred == 0 {
		z.preferred = 16 * mib
	}
	b := make([]byte, setupBytes+codeBytes)
	copy(b, "MZ")
	b[0x1f1] = 2
	le.PutUint16(b[0x1fe:], 0xaa55)
	b[0x201] = 0x6a
	copy(b[0x202:], "HdrS")
	le.PutUint16(b[0x206:], 0x20f)
	le.PutUint32(b[0x22c:], 0x7fffffff)
	le.PutUint32(b[0x230:], 2*mib)
	b[0x234] = 1
	le.PutUint16(b[0x236:], 1)
	le.PutUint32(b[0x238:], 2047)
	le.PutUint32(b[0x248:], codeBytes)
	le.PutUint32(b[0x24c:], uint32(len(z.payload)))
	le.PutUint64(b[0x258:], z.preferred)
	le.PutUint32(b[0x260:], z.room)
	copy(b[setupBytes:], "its own code")
	if z.patch != nil {
		z.patch(b)
	}
	return append(b, z.payload...)
}

// pack compresses as Linux's build does: zstd without its size in the header, but
// behind it; gzip's is there anyway.
func pack(t testing.TB, how string, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	switch how {
	case "gzip":
		w := gzip.NewWriter(&out)
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	case "zstd":
		w, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return le.AppendUint32(out.Bytes(), uint32(len(b)))
}

// vmlinux is the kernel in a bzImage, of several segments.
func vmlinux() image {
	data := make([]byte, 2*mib)
	for i := range data {
		data[i] = byte(i ^ i>>8)
	}
	return image{entry: 16*mib + 0x40, loads: []load{{16 * mib, data, 3 * mib}, {24 * mib, []byte("more"), 4}}}
}

type zeroPage struct {
	rsdp     uint64
	loader   byte
	cmdline  string
	initrd   guestmem.Range
	setup    []byte
	memory   [][3]uint64
	sentinel byte
}

func readZeroPage(t testing.TB, m *guestmem.Memory, at uint64) zeroPage {
	t.Helper()
	p := read(t, m, at, 4096)
	z := zeroPage{
		rsdp: le.Uint64(p[0x70:]), loader: p[0x210], sentinel: p[0x1ef], setup: p[0x1f1:0x26c],
		initrd: guestmem.Range{
			GPA:  uint64(le.Uint32(p[0x218:])) | uint64(le.Uint32(p[0xc0:]))<<32,
			Size: uint64(le.Uint32(p[0x21c:])) | uint64(le.Uint32(p[0xc4:]))<<32,
		},
	}
	z.cmdline, _, _ = strings.Cut(string(read(t, m, uint64(le.Uint32(p[0x228:])), 2048)), "\x00")
	for i := range int(p[0x1e8]) {
		e := p[0x2d0+20*i:]
		z.memory = append(z.memory, [3]uint64{le.Uint64(e), le.Uint64(e[8:]), uint64(le.Uint32(e[16:]))})
	}
	return z
}

// checkLongMode follows the page tables and reads the descriptors, as a CPU does.
func checkLongMode(t *testing.T, m *guestmem.Memory, e boot.Entry) {
	t.Helper()
	entry := func(table uint64, index uint64) uint64 { return le.Uint64(read(t, m, table&^0xfff+8*index, 8)) }
	for _, va := range []uint64{0, e.ZeroPage, e.GDT, e.RIP, 1<<30 - 1, 1 << 30, 3<<30 - 1} {
		p4 := entry(e.PageTables, va>>39)
		p3 := entry(p4, va>>30&511)
		p2 := entry(p3, va>>21&511)
		if p4&3 != 3 || p3&3 != 3 || p2&0x83 != 0x83 {
			t.Fatalf("address %#x: got entries %#x, %#x, %#x; want them present and writable", va, p4, p3, p2)
		}
		if got := p2&^0x1fffff | va&0x1fffff; got != va {
			t.Errorf("address %#x: is mapped to %#x", va, got)
		}
	}
	if got := le.Uint64(read(t, m, e.GDT+0x10, 8)); got != 0x00af9b000000ffff {
		t.Errorf("code descriptor: got %#x", got)
	}
	if got := le.Uint64(read(t, m, e.GDT+0x18, 8)); got != 0x00cf93000000ffff {
		t.Errorf("data descriptor: got %#x", got)
	}
}

func loadInto(t *testing.T, m *guestmem.Memory, file []byte, o boot.Options) boot.Entry {
	t.Helper()
	k, err := parse(file)
	if err != nil {
		t.Fatal(err)
	}
	o.Layout = m.Layout()
	e, err := k.Load(m, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestUnpacksItself(t *testing.T) {
	file := bzImage{}.build(t)
	for _, c := range []struct {
		name        string
		memory, at  uint64
		top, initrd uint64
	}{
		{"where it prefers", 64 * mib, 16 * mib, 64 * mib, 5000},
		{"lower, in small memory", 16 * mib, 2 * mib, 16 * mib, 5000},
		{"initrd as high as allowed", 3 << 30, 16 * mib, 2 << 30, 5000},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMemory(t, c.memory)
			initrd := bytes.Repeat([]byte{7}, int(c.initrd))
			e := loadInto(t, m, file, boot.Options{Initrd: bytes.NewReader(initrd), InitrdSize: int64(len(initrd)), Cmdline: "console=ttyS0 x", RSDP: 0xe0000})
			if e.Protocol != boot.Linux64 || e.RIP != c.at+0x200 || e.StartInfo != 0 {
				t.Errorf("entry: got %+v; want 64 bits at %#x", e, c.at+0x200)
			}
			if !bytes.Equal(read(t, m, c.at, uint64(len(file)-setupBytes)), file[setupBytes:]) {
				t.Error("the image differs")
			}
			checkLongMode(t, m, e)
			z := readZeroPage(t, m, e.ZeroPage)
			if z.rsdp != 0xe0000 || z.loader != 0xff || z.sentinel != 0 || z.cmdline != "console=ttyS0 x" {
				t.Errorf("zero page: got %+v", z)
			}
			if string(z.setup[0x11:0x15]) != "HdrS" || !bytes.Equal(z.setup[0x45:], file[0x236:0x26c]) {
				t.Error("the setup header differs")
			}
			if want := (c.top - c.initrd) &^ 4095; z.initrd.GPA != want || z.initrd.Size != c.initrd {
				t.Errorf("initrd: got %+v; want it at %#x", z.initrd, want)
			}
			if !bytes.Equal(read(t, m, z.initrd.GPA, z.initrd.Size), initrd) {
				t.Error("the initrd differs")
			}
			want := [][3]uint64{{0, 0x9fc00, 1}, {0x9fc00, 0x400, 2}, {0xe0000, 0x20000, 2}, {mib, c.memory - mib, 1}}
			if diff := cmp.Diff(want, z.memory); diff != "" {
				t.Errorf("memory map (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnpackedHere(t *testing.T) {
	for _, how := range []string{"gzip", "zstd"} {
		t.Run(how, func(t *testing.T) {
			m := newMemory(t, 64*mib)
			file := bzImage{payload: pack(t, how, vmlinux().build(t))}.build(t)
			e := loadInto(t, m, file, boot.Options{Cmdline: "x"})
			if e.Protocol != boot.Linux64 || e.RIP != vmlinux().entry {
				t.Errorf("entry: got %+v; want 64 bits at the header's", e)
			}
			checkLongMode(t, m, e)
			for _, l := range vmlinux().loads {
				if !bytes.Equal(read(t, m, l.paddr, uint64(len(l.data))), l.data) {
					t.Errorf("the segment at %#x differs", l.paddr)
				}
			}
			if z := readZeroPage(t, m, e.ZeroPage); string(z.setup[0x11:0x15]) != "HdrS" || z.cmdline != "x" {
				t.Errorf("zero page: got %+v", z)
			}
		})
	}
}

func TestBadBzImages(t *testing.T) {
	noise := make([]byte, 64<<10)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	packed := pack(t, "gzip", image{entry: mib, loads: []load{{mib, noise, mib}}}.build(t))
	damaged := bytes.Clone(packed)
	damaged[len(damaged)-6] ^= 1 // in the sum
	backwards := image{entry: mib, loads: []load{{mib, []byte("code"), 4}, {2 * mib, []byte("more"), 4}}}.build(t)
	const programs, each, offset = 64, 56, 8
	copy(backwards[programs+2*each+offset:][:8], backwards[programs+each+offset:]) // the second load's bytes are the first's
	patched := func(at int, b ...byte) []byte {
		return bzImage{patch: func(f []byte) { copy(f[at:], b) }}.build(t)
	}
	for name, c := range map[string]struct {
		file []byte
		want error // of Parse, or else of Load
	}{
		"32 bits":               {patched(0x236, 0), boot.ErrMachine},
		"old protocol":          {patched(0x206, 0x0b), boot.ErrMachine},
		"short header":          {patched(0x201, 0x10), boot.ErrTruncated},
		"only the header":       {bzImage{}.build(t)[:0x300], boot.ErrTruncated},
		"no boot flag":          {patched(0x1fe, 0, 0), boot.ErrFormat},
		"more than its room":    {bzImage{room: 0x1000}.build(t), boot.ErrTruncated},
		"far away":              {bzImage{preferred: 1 << 40}.build(t), boot.ErrTruncated},
		"payload outside":       {patched(0x248, 0xff, 0xff, 0xff, 0xff), boot.ErrTruncated},
		"payload too long":      {patched(0x24c, 0xff, 0xff, 0xff, 0xff), boot.ErrTruncated},
		"payload cut":           {bzImage{payload: packed[:2000]}.build(t), boot.ErrTruncated},
		"payload damaged":       {bzImage{payload: damaged}.build(t), boot.ErrTruncated},
		"zstd damaged":          {bzImage{payload: append([]byte("\x28\xb5\x2f\xfd"), noise...)}.build(t), boot.ErrTruncated},
		"entry outside":         {bzImage{payload: pack(t, "gzip", image{}.build(t))}.build(t), boot.ErrTruncated},
		"kernel read backwards": {bzImage{payload: pack(t, "gzip", backwards)}.build(t), boot.ErrTruncated},
		"kernel of 32 bits":     {bzImage{payload: pack(t, "gzip", image{class: elf.ELFCLASS32, machine: elf.EM_386, note: []byte{}}.build(t))}.build(t), boot.ErrMachine},
		"kernel for another":    {bzImage{payload: pack(t, "gzip", image{machine: elf.EM_AARCH64}.build(t))}.build(t), boot.ErrMachine},
		"no memory for it":      {bzImage{room: 64 * mib}.build(t), boot.ErrTooBig},
		"no memory for a kernel": {
			bzImage{payload: pack(t, "gzip", image{entry: mib, loads: []load{{mib, []byte("x"), 64 * mib}}}.build(t))}.build(t), boot.ErrTooBig,
		},
	} {
		k, err := parse(c.file)
		if err == nil {
			m := newMemory(t, 32*mib)
			_, err = k.Load(m, boot.Options{Layout: m.Layout()})
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v; want %v", name, err, c.want)
		}
	}
	k, err := parse(bzImage{}.build(t))
	if err != nil {
		t.Fatal(err)
	}
	m := newMemory(t, 32*mib)
	for _, o := range []boot.Options{
		{Cmdline: strings.Repeat("x", 2048)},
		{Initrd: zeros{}, InitrdSize: 13 * mib}, // beside the kernel, whose room ends at 20 MiB
	} {
		o.Layout = m.Layout()
		if _, err := k.Load(m, o); !errors.Is(err, boot.ErrTooBig) {
			t.Errorf("cmdline of %d, initrd of %d: got %v; want ErrTooBig", len(o.Cmdline), o.InitrdSize, err)
		}
	}
}
