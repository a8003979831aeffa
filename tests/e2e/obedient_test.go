package e2e

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// What the obedient guest does when it reads this byte from its serial port.
const (
	orderPowerOff    = 'p'
	orderReset       = 'r'
	orderTripleFault = 't'
)

// obedient is a kernel of a few bytes: it says B when it starts, adds to each page of 8 MiB again and again, says a dot
// after each round, and follows orders. It is 32-bit code, entered by PVH.
var obedient = []byte{
	0xba, 0xf8, 0x03, 0x00, 0x00, //       mov $0x3f8, %edx
	0xb0, 'B', //                          mov $'B', %al
	0xee,                         //       out %al, (%dx)
	0xbf, 0x00, 0x00, 0x20, 0x00, // 08:   mov $0x200000, %edi
	0xb0, '.', //                          mov $'.', %al
	0xee,       //                         out %al, (%dx)
	0xff, 0x07, // 10:                     incl (%edi)
	0x81, 0xc7, 0x00, 0x10, 0x00, 0x00, // add $0x1000, %edi
	0xb2, 0xfd, //                         mov $0xfd, %dl: the line's status
	0xec,       //                         in (%dx), %al
	0xb2, 0xf8, //                         mov $0xf8, %dl: its data
	0xa8, 0x01, //                         test $1, %al
	0x74, 0x0d, // 1f:                     jz 2e
	0xec,                         // in (%dx), %al
	0x3c, orderReset, 0x74, 0x13, // 22:   cmp, je 39
	0x3c, orderPowerOff, 0x74, 0x15, // 26: cmp, je 3f
	0x3c, orderTripleFault, 0x74, 0x19, // 2a: cmp, je 47
	0x81, 0xff, 0x00, 0x00, 0xa0, 0x00, // 2e: cmp $0xa00000, %edi
	0x72, 0xda, // 34:                     jb 10
	0xeb, 0xd0, // 36:                     jmp 08
	0x90,                               // 38
	0xb0, 0xfe, 0xe6, 0x64, 0xeb, 0xfe, // 39: out of the reset line, and wait
	0xb2, 0x00, 0xb6, 0x06, //             3f: mov $0x600, %edx, but for its upper half
	0xb0, 0x34, 0xee, 0xf4, //             43: the sleep type of power-off, enabled; hlt
	0x0f, 0x01, 0x1d, 0x00, 0x00, 0xb0, 0x00, // 47: lidt 0xb00000, where there is nothing
	0x0f, 0x0b, //                         ud2: no such table
}

// obedientKernel writes the kernel to a file.
func obedientKernel(t *testing.T) string {
	t.Helper()
	const header, program, gpa = 64, 56, 0x100000
	code := append([]byte{}, obedient...)
	note := []byte{4, 0, 0, 0, 4, 0, 0, 0, 18, 0, 0, 0, 'X', 'e', 'n', 0}
	note = binary.LittleEndian.AppendUint32(note, gpa) // XEN_ELFNOTE_PHYS32_ENTRY
	var b bytes.Buffer
	put := func(v ...any) {
		for _, x := range v {
			if err := binary.Write(&b, binary.LittleEndian, x); err != nil {
				t.Fatal(err)
			}
		}
	}
	put([]byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, uint16(2), uint16(62), uint32(1))
	put(uint64(gpa), uint64(header), uint64(0), uint32(0), uint16(header), uint16(program), uint16(2), uint16(64), uint16(0), uint16(0))
	at := uint64(header + 2*program)
	put(uint32(1), uint32(5), at, uint64(gpa), uint64(gpa), uint64(len(code)), uint64(len(code)), uint64(4096))
	put(uint32(4), uint32(4), at+uint64(len(code)), uint64(0), uint64(0), uint64(len(note)), uint64(len(note)), uint64(4))
	put(code, note)
	path := filepath.Join(t.TempDir(), "obedient")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
