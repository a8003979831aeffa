package boot_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/guests/loadgen"
	"github.com/ferryvmm/ferry/vmm/boot"
)

const mib = 1 << 20

// load is one PT_LOAD of an image that a test builds.
type load struct {
	paddr uint64
	data  []byte
	memsz uint64
}

// image is an ELF file to build; the zero value of a field gives a valid one.
type image struct {
	class   elf.Class // 0: 64
	machine elf.Machine
	kind    elf.Type
	note    []byte // nil: a right one for entry 0x100000
	entry   uint64 // of the header
	loads   []load
}

func note(name string, kind uint32, desc []byte) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, uint32(len(name)))
	b = le.AppendUint32(b, uint32(len(desc)))
	b = le.AppendUint32(b, kind)
	b = append(b, name...)
	b = append(b, make([]byte, -len(b)&3)...)
	b = append(b, desc...)
	return append(b, make([]byte, -len(b)&3)...)
}

func (i image) build(t testing.TB) []byte {
	t.Helper()
	if i.class == elf.ELFCLASSNONE {
		i.class = elf.ELFCLASS64
	}
	if i.machine == 0 {
		i.machine = elf.EM_X86_64
	}
	if i.kind == 0 {
		i.kind = elf.ET_EXEC
	}
	if i.note == nil {
		i.note = note("Xen\x00", 18, []byte{0, 0, 0x10, 0})
	}
	if i.loads == nil {
		i.loads = []load{{paddr: mib, data: []byte("code"), memsz: 0x2000}}
	}
	var ident [16]byte
	copy(ident[:], elf.ELFMAG)
	ident[4], ident[5], ident[6] = byte(i.class), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	const body = 0x1000
	off := uint64(body)
	all := append([]load{{data: i.note, memsz: uint64(len(i.note))}}, i.loads...)
	var head, data bytes.Buffer
	put := func(v any) {
		if err := binary.Write(&head, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	count := uint16(len(all))
	if i.class == elf.ELFCLASS64 {
		put(elf.Header64{Ident: ident, Type: uint16(i.kind), Machine: uint16(i.machine), Version: 1, Entry: i.entry, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: count})
	} else {
		put(elf.Header32{Ident: ident, Type: uint16(i.kind), Machine: uint16(i.machine), Version: 1, Phoff: 52, Ehsize: 52, Phentsize: 32, Phnum: count})
	}
	for n, l := range all {
		kind := uint32(elf.PT_LOAD)
		if n == 0 {
			kind = uint32(elf.PT_NOTE)
		}
		size := uint64(len(l.data))
		if i.class == elf.ELFCLASS64 {
			put(elf.Prog64{Type: kind, Off: off, Paddr: l.paddr, Filesz: size, Memsz: l.memsz})
		} else {
			put(elf.Prog32{Type: kind, Off: uint32(off), Paddr: uint32(l.paddr), Filesz: uint32(size), Memsz: uint32(l.memsz)})
		}
		data.Write(l.data)
		off += size
	}
	head.Write(make([]byte, body-head.Len()))
	return append(head.Bytes(), data.Bytes()...)
}

func parse(b []byte) (*boot.Kernel, error) { return boot.Parse(bytes.NewReader(b), int64(len(b))) }

func newMemory(t testing.TB, size uint64) *guestmem.Memory {
	t.Helper()
	l, err := guestmem.NewLayout(size)
	if err != nil {
		t.Fatal(err)
	}
	m, err := guestmem.New(l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func read(t testing.TB, m *guestmem.Memory, gpa, size uint64) []byte {
	t.Helper()
	p := make([]byte, size)
	if err := m.ReadAt(p, gpa); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLoadgen(t *testing.T) {
	k, err := parse(loadgen.ELF())
	if err != nil {
		t.Fatal(err)
	}
	m := newMemory(t, 32*mib)
	e, err := k.Load(m, boot.Options{Cmdline: "rate=1", Layout: m.Layout()})
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(loadgen.ELF()))
	if err != nil {
		t.Fatal(err)
	}
	if e.RIP != f.Entry {
		t.Errorf("entry: got %#x; want %#x", e.RIP, f.Entry)
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD {
			continue
		}
		want := make([]byte, p.Filesz)
		if _, err := p.ReadAt(want, 0); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(read(t, m, p.Paddr, p.Filesz), want) {
			t.Errorf("segment at %#x differs", p.Paddr)
		}
	}
}

func TestStartInfo(t *testing.T) {
	const size = 3<<30 + 512*mib
	m := newMemory(t, size)
	k, err := parse(image{}.build(t))
	if err != nil {
		t.Fatal(err)
	}
	initrd := bytes.Repeat([]byte("initrd"), 1000)
	e, err := k.Load(m, boot.Options{Initrd: bytes.NewReader(initrd), InitrdSize: int64(len(initrd)), Cmdline: "console=ttyS0", Layout: m.Layout(), RSDP: 0xe0000})
	if err != nil {
		t.Fatal(err)
	}
	if e.Protocol != boot.PVH || e.PageTables != 0 || e.ZeroPage != 0 {
		t.Errorf("entry: got %+v; want one by PVH", e)
	}
	// The structures as the Xen headers give them, not as the loader does.
	var info struct {
		Magic, Version, Flags, Modules uint32
		ModList, Cmdline, RSDP, MemMap uint64
		MemMapEntries, Reserved        uint32
	}
	decode := func(gpa uint64, v any) {
		t.Helper()
		if err := binary.Read(bytes.NewReader(read(t, m, gpa, uint64(binary.Size(v)))), binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	decode(e.StartInfo, &info)
	if info.Magic != 0x336ec578 || info.Version != 1 || info.Modules != 1 || info.RSDP != 0xe0000 || info.Flags != 0 {
		t.Errorf("start info: got %+v", info)
	}
	if got := string(read(t, m, info.Cmdline, 14)); got != "console=ttyS0\x00" {
		t.Errorf("command line: got %q", got)
	}
	type memmapEntry struct {
		Addr, Size     uint64
		Type, Reserved uint32
	}
	memmap := make([]memmapEntry, info.MemMapEntries)
	decode(info.MemMap, memmap)
	want := []memmapEntry{{0, 0x9fc00, 1, 0}, {0x9fc00, 0x400, 2, 0}, {0xe0000, 0x20000, 2, 0}, {mib, 3<<30 - mib, 1, 0}, {4 << 30, 512 * mib, 1, 0}}
	if diff := cmp.Diff(want, memmap); diff != "" {
		t.Errorf("memory map (-want +got):\n%s", diff)
	}
	var module struct{ Addr, Size, Cmdline, Reserved uint64 }
	decode(info.ModList, &module)
	if module.Size != uint64(len(initrd)) || module.Addr%guestmem.PageSize != 0 || module.Addr+module.Size > 3<<30 || module.Addr < 3<<30-2*guestmem.PageSize {
		t.Errorf("initrd: got [%#x, +%d); want it page-aligned at the top of low memory", module.Addr, module.Size)
	}
	if !bytes.Equal(read(t, m, module.Addr, module.Size), initrd) {
		t.Error("initrd differs")
	}
	if module.Cmdline != 0 || module.Reserved != 0 {
		t.Errorf("module: got %+v", module)
	}
}

// What is zero in the file, or only in memory, stays a hole.
func TestHoles(t *testing.T) {
	data := make([]byte, 2*mib)
	copy(data, "start")
	data[mib] = 1
	k, err := parse(image{loads: []load{{mib, data, 8 * mib}}}.build(t))
	if err != nil {
		t.Fatal(err)
	}
	m := newMemory(t, 16*mib)
	if _, err := k.Load(m, boot.Options{Layout: m.Layout()}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, m, mib, uint64(len(data))), data) {
		t.Error("segment differs")
	}
	got, err := m.DataBytes()
	if err != nil {
		t.Fatal(err)
	}
	if want := uint64(5 * guestmem.PageSize); got != want { // two of data; start info, memory map, command line
		t.Errorf("allocated: got %d bytes; want %d", got, want)
	}
}

func TestParse(t *testing.T) {
	valid := image{}.build(t)
	patch := func(at int, b ...byte) []byte {
		p := bytes.Clone(valid)
		copy(p[at:], b)
		return p
	}
	entry64 := []byte{0, 0, 0x10, 0, 0, 0, 0, 0}
	for name, c := range map[string]struct {
		file []byte
		want error
	}{
		"valid":              {valid, nil},
		"32 bits":            {image{class: elf.ELFCLASS32, machine: elf.EM_386}.build(t), nil},
		"8-byte entry":       {image{note: note("Xen\x00", 18, entry64)}.build(t), nil},
		"other notes first":  {image{note: append(note("GNU\x00", 18, []byte("build id, odd")), note("Xen\x00", 18, entry64)...)}.build(t), nil},
		"no padding at end":  {image{note: append(note("GNU\x00", 1, nil), note("Xen\x00", 18, entry64)...)}.build(t), nil},
		"empty":              {nil, boot.ErrFormat},
		"short":              {valid[:3], boot.ErrFormat},
		"DOS program":        {append([]byte("MZ"), make([]byte, 4096)...), boot.ErrFormat},
		"compressed":         {append([]byte{0x1f, 0x8b}, make([]byte, 4096)...), boot.ErrFormat},
		"arm64 Image":        {append(make([]byte, 0x38), "ARM\x64"...), boot.ErrMachine},
		"RISC-V Image":       {append(make([]byte, 0x38), "RSC\x05"...), boot.ErrMachine},
		"ARM zImage":         {append(make([]byte, 0x24), 0x18, 0x28, 0x6f, 0x01), boot.ErrMachine},
		"EFI zboot image":    {append([]byte("MZ\x00\x00zimg"), make([]byte, 4096)...), boot.ErrMachine},
		"text":               {[]byte("#!/bin/sh\nexit 0\n"), boot.ErrFormat},
		"header cut":         {valid[:40], boot.ErrTruncated},
		"program header cut": {valid[:100], boot.ErrTruncated},
		"segment cut":        {valid[:len(valid)-1], boot.ErrTruncated},
		"no note":            {image{note: []byte{}}.build(t), boot.ErrNotPVH},
		"other type":         {image{note: note("Xen\x00", 5, entry64)}.build(t), boot.ErrNotPVH},
		"other name":         {image{note: note("Xem\x00", 18, entry64)}.build(t), boot.ErrNotPVH},
		"long name":          {image{note: note("Xenon\x00", 18, entry64)}.build(t), boot.ErrNotPVH},
		"note cut":           {image{note: note("Xen\x00", 18, entry64)[:18]}.build(t), boot.ErrNotPVH},
		"note of 4 GiB":      {image{note: []byte{4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 18, 0, 0, 0, 'X', 'e', 'n', 0}}.build(t), boot.ErrNotPVH},
		"name of 4 GiB":      {image{note: []byte{0xff, 0xff, 0xff, 0xff, 4, 0, 0, 0, 18, 0, 0, 0, 'X', 'e', 'n', 0}}.build(t), boot.ErrNotPVH},
		"short entry":        {image{note: note("Xen\x00", 18, []byte{0, 0})}.build(t), boot.ErrTruncated},
		"entry above 4 GiB":  {image{note: note("Xen\x00", 18, []byte{0, 0, 0x10, 0, 1, 0, 0, 0})}.build(t), boot.ErrTruncated},
		"entry outside":      {image{loads: []load{{2 * mib, []byte("x"), 1}}}.build(t), boot.ErrTruncated},
		"memory < file":      {image{loads: []load{{mib, []byte("code"), 3}}}.build(t), boot.ErrTruncated},
		"wraps":              {image{loads: []load{{^uint64(0), []byte("code"), 4}}}.build(t), boot.ErrTruncated},
		"other machine":      {image{machine: elf.EM_AARCH64}.build(t), boot.ErrMachine},
		"object file":        {image{kind: elf.ET_REL}.build(t), boot.ErrFormat},
		"big endian":         {patch(5, 2), boot.ErrMachine},
		"unknown class":      {patch(4, 9), boot.ErrTruncated},
		"65535 segments":     {patch(56, 0xff, 0xff), boot.ErrTruncated},
		"65535 sections":     {patch(60, 0xff, 0xff), nil}, // they are not looked at
		"segments far away":  {patch(32, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), boot.ErrTruncated},
	} {
		_, err := parse(c.file)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v; want %v", name, err, c.want)
		}
	}
}

func TestDoesNotFit(t *testing.T) {
	m := newMemory(t, 16*mib)
	for name, c := range map[string]struct {
		image image
		opts  boot.Options
	}{
		"kernel too big":   {image{loads: []load{{mib, []byte("code"), 16 * mib}}}, boot.Options{}},
		"kernel outside":   {image{loads: []load{{mib, []byte("code"), 4}, {64 * mib, []byte("x"), 1}}}, boot.Options{}},
		"kernel in hole":   {image{loads: []load{{mib, []byte("code"), 4}, {3 << 30, []byte("x"), 1}}}, boot.Options{}},
		"over firmware":    {image{loads: []load{{mib, []byte("code"), 4}, {0xe0000, []byte("x"), 1}}}, boot.Options{}},
		"over start info":  {image{loads: []load{{mib, []byte("code"), 4}, {0x6000, []byte("x"), 1}}}, boot.Options{}},
		"over the cmdline": {image{loads: []load{{mib, []byte("code"), 4}, {0xffff, []byte("x"), 1}}}, boot.Options{}},
		"long cmdline":     {image{}, boot.Options{Cmdline: strings.Repeat("x", boot.MaxCmdline)}},
		"large initrd":     {image{}, boot.Options{Initrd: zeros{}, InitrdSize: 15 * mib}},
		"huge initrd":      {image{}, boot.Options{Initrd: zeros{}, InitrdSize: 1 << 62}},
	} {
		k, err := parse(c.image.build(t))
		if err != nil {
			t.Fatal(err)
		}
		c.opts.Layout = m.Layout()
		if _, err := k.Load(m, c.opts); !errors.Is(err, boot.ErrTooBig) {
			t.Errorf("%s: got %v; want ErrTooBig", name, err)
		}
	}
	if n, err := m.DataBytes(); n != 0 || err != nil {
		t.Errorf("refused images left %d bytes, %v", n, err)
	}
	k, err := parse(image{}.build(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Load(m, boot.Options{Layout: m.Layout(), Initrd: strings.NewReader("short"), InitrdSize: 6}); !errors.Is(err, boot.ErrTruncated) {
		t.Errorf("initrd cut: got %v; want ErrTruncated", err)
	}
	if _, err := k.Load(m, boot.Options{Layout: m.Layout(), Cmdline: strings.Repeat("x", boot.MaxCmdline-1)}); err != nil {
		t.Errorf("longest command line: got %v", err)
	}
}

// zeros is an endless file.
type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) { clear(p); return len(p), nil }

// eager says io.EOF along with the last byte, as a ReaderAt may.
type eager struct{ *bytes.Reader }

func (r eager) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.Reader.ReadAt(p, off)
	if off+int64(n) == r.Size() {
		err = io.EOF
	}
	return n, err
}

func TestEagerReader(t *testing.T) {
	b := image{}.build(t)
	k, err := boot.Parse(eager{bytes.NewReader(b)}, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	m := newMemory(t, 16*mib)
	if _, err := k.Load(m, boot.Options{Layout: m.Layout()}); err != nil {
		t.Error(err)
	}
	if got := string(read(t, m, mib, 4)); got != "code" {
		t.Errorf("segment: got %q; want code", got)
	}
}
