package boot_test

import (
	"bytes"
	"debug/elf"
	"errors"
	"testing"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/guests/loadgen"
	"github.com/ferryvmm/ferry/vmm/boot"
)

// bounded is guest memory that only checks where it is written.
type bounded struct {
	t      *testing.T
	layout guestmem.Layout
}

func (b bounded) WriteAt(p []byte, gpa uint64) error {
	for _, r := range b.layout {
		if gpa >= r.GPA && gpa-r.GPA <= r.Size && uint64(len(p)) <= r.Size-(gpa-r.GPA) {
			return nil
		}
	}
	b.t.Fatalf("write of %d bytes at %#x", len(p), gpa)
	return nil
}

func FuzzKernel(f *testing.F) {
	f.Add(image{}.build(f), []byte("initrd"))
	f.Add(image{class: elf.ELFCLASS32, machine: elf.EM_386}.build(f), []byte{})
	f.Add(loadgen.ELF(), []byte{})
	f.Add(bzImage{}.build(f), []byte("initrd"))
	f.Add(bzImage{payload: pack(f, "gzip", image{entry: mib}.build(f))}.build(f), []byte{})
	f.Add(bzImage{payload: pack(f, "zstd", image{entry: mib}.build(f))}.build(f), []byte{})
	layout, err := guestmem.NewLayout(64 * mib)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, file, initrd []byte) {
		k, err := parse(file)
		if err != nil {
			for _, known := range []error{boot.ErrFormat, boot.ErrMachine, boot.ErrNotPVH, boot.ErrTruncated} {
				if errors.Is(err, known) {
					return
				}
			}
			t.Fatalf("got an unknown error: %v", err)
		}
		e, err := k.Load(bounded{t, layout}, boot.Options{Cmdline: "panic=-1", Initrd: bytes.NewReader(initrd), InitrdSize: int64(len(initrd)), Layout: layout})
		if err != nil && !errors.Is(err, boot.ErrTooBig) && !errors.Is(err, boot.ErrTruncated) {
			t.Fatalf("got an unknown error: %v", err)
		}
		if err == nil && e.RIP >= layout.Size() {
			t.Fatalf("entry %#x is outside memory", e.RIP)
		}
	})
}
