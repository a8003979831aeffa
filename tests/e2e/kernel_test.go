package e2e

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/guests/loadgen"
)

// Fields of an ELF64 header and of its first program header.
const (
	elfPhOff     = 0x20
	elfPhNum     = 0x38
	phFileSize   = 0x20
	phMemorySize = 0x28
	phAddress    = 0x18
)

func TestKernelsThatAreNone(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 1)
	elf := loadgen.ELF()
	patched := func(patch func(b []byte)) []byte {
		b := bytes.Clone(elf)
		patch(b)
		return b
	}
	load := firstLoad(t, elf)
	for _, tt := range []struct {
		name string
		text []byte
	}{
		{"empty", nil},
		{"a script", []byte("#!/bin/sh\nexit 0\n")},
		{"only the magic", []byte("\x7fELF")},
		{"cut in the header", elf[:40]},
		{"cut in the program headers", elf[:elfHeader(elf)+20]},
		{"cut in a segment", elf[:len(elf)/2]},
		{"no note", patched(func(b []byte) {
			for i := bytes.Index(b, []byte("Xen\x00")); i >= 0; i = bytes.Index(b, []byte("Xen\x00")) {
				b[i] = 'Y'
			}
		})},
		{"program headers beyond the end", patched(func(b []byte) { binary.LittleEndian.PutUint64(b[elfPhOff:], 1<<62) })},
		{"65535 program headers", patched(func(b []byte) { binary.LittleEndian.PutUint16(b[elfPhNum:], 0xffff) })},
		{"a segment of 2^63 bytes", patched(func(b []byte) {
			binary.LittleEndian.PutUint64(b[load+phFileSize:], 1<<63)
			binary.LittleEndian.PutUint64(b[load+phMemorySize:], 1<<63)
		})},
		{"a segment beyond memory", patched(func(b []byte) { binary.LittleEndian.PutUint64(b[load+phAddress:], 1<<40) })},
		{"another machine's", patched(func(b []byte) { b[0x12] = 0xb7 })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "kernel")
			if err := os.WriteFile(path, tt.text, 0o600); err != nil {
				t.Fatal(err)
			}
			t.Log(failure(t, exec(t, ctx, w.Sites[0], 1, "run", "--kernel", path, "--memory", "64M", "--json")))
		})
	}
	for _, path := range []string{"/nonexistent", t.TempDir(), "/dev/zero"} {
		t.Log(failure(t, exec(t, ctx, w.Sites[0], 1, "run", "--kernel", path, "--json")))
	}
}

func elfHeader(elf []byte) int { return int(binary.LittleEndian.Uint64(elf[elfPhOff:])) }

// firstLoad is the offset of the first program header that is loaded.
func firstLoad(t *testing.T, elf []byte) int {
	t.Helper()
	const size = 56
	for i := range int(binary.LittleEndian.Uint16(elf[elfPhNum:])) {
		at := elfHeader(elf) + i*size
		if binary.LittleEndian.Uint32(elf[at:]) == 1 {
			return at
		}
	}
	t.Fatal("loadgen has no segment to load")
	return 0
}

func TestKernelFromAFile(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 2)
	path := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(path, loadgen.ELF(), 0o600); err != nil {
		t.Fatal(err)
	}
	trip := boot(t, ctx, w, guestFrom(path))
	if err := os.Remove(path); err != nil { // the machine has it already
		t.Fatal(err)
	}
	completes(t, ctx, trip)
	stop(t, ctx, trip)
}
