package resident

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Entries of the auxiliary vector (getauxval(3)): where in memory the program
// headers of this process's binary are, and how many.
const (
	auxHeaders = 3
	auxCount   = 5
)

// maxHeaders bounds what is believed: a linker makes about ten.
const maxHeaders = 64

// dropImage drops the pages of the binary's segments that cannot be written:
// they are as in the file.
func dropImage() error {
	at, headers, err := programHeaders()
	if err != nil {
		return err
	}
	var base uint64 // not zero for a binary that can be loaded anywhere
	for _, h := range headers {
		if elf.ProgType(h.Type) == elf.PT_PHDR {
			base = at - h.Vaddr
		}
	}
	page := uint64(os.Getpagesize())
	for _, h := range headers {
		if elf.ProgType(h.Type) != elf.PT_LOAD || elf.ProgFlag(h.Flags)&elf.PF_W != 0 {
			continue
		}
		from, to := (base+h.Vaddr)&^(page-1), (base+h.Vaddr+h.Memsz)&^(page-1)
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, uintptr(from), uintptr(to-from), unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("resident: drop %#x to %#x: %w", from, to, errno)
		}
	}
	return nil
}

// programHeaders returns what the kernel loaded this process from, and the
// address of the first. They are read as from another process, for they are
// nothing that Go knows of.
func programHeaders() (at uint64, headers []elf.Prog64, err error) {
	aux, err := unix.Auxv()
	if err != nil {
		return 0, nil, fmt.Errorf("resident: find the binary in memory: %w", err)
	}
	count := 0
	for _, a := range aux {
		switch a[0] {
		case auxHeaders:
			at = uint64(a[1])
		case auxCount:
			count = int(a[1])
		}
	}
	if at == 0 || count < 1 || count > maxHeaders {
		return 0, nil, errors.New("resident: the kernel does not say where the binary is in memory")
	}
	headers = make([]elf.Prog64, count)
	buf := make([]byte, binary.Size(headers))
	local := unix.Iovec{Base: &buf[0]}
	local.SetLen(len(buf))
	remote := unix.RemoteIovec{Base: uintptr(at), Len: len(buf)}
	n, err := unix.ProcessVMReadv(os.Getpid(), []unix.Iovec{local}, []unix.RemoteIovec{remote}, 0)
	if err == nil {
		_, err = binary.Decode(buf[:n], binary.LittleEndian, headers)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("resident: read the binary's program headers: %w", err)
	}
	return at, headers, nil
}
