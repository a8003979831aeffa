package devices_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/devices"
)

// recorder is a device that notes its accesses and reads as what was asked.
type recorder struct {
	name string
	log  *[]string
}

func (r recorder) Read(offset uint64, data []byte) {
	*r.log = append(*r.log, fmt.Sprintf("%s read %d+%d", r.name, offset, len(data)))
	for i := range data {
		data[i] = byte(offset) + byte(i)
	}
}

func (r recorder) Write(offset uint64, data []byte) {
	*r.log = append(*r.log, fmt.Sprintf("%s write %d % x", r.name, offset, data))
}

func TestBus(t *testing.T) {
	var log []string
	var b devices.Bus
	for _, err := range []error{
		b.AddPorts(0x20, 8, recorder{"b", &log}),
		b.AddPorts(0x10, 4, recorder{"a", &log}),
		b.AddPorts(0xffff, 1, recorder{"last", &log}),
		b.AddMMIO(0xfebf0000, 4, recorder{"m", &log}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		addr uint64
		size int
		read string
		log  []string
	}{
		{0x10, 4, "00010203", []string{"a read 0+4", "a write 0 01 02 03 04"}},
		{0x11, 1, "01", []string{"a read 1+1", "a write 1 01"}},
		{0x13, 2, "03ff", []string{"a read 3+1", "a write 3 01"}},
		{0x0f, 2, "ffff", nil}, // what begins outside is not the device's
		{0x1f, 1, "ff", nil},
		{0x24, 4, "04050607", []string{"b read 4+4", "b write 4 01 02 03 04"}},
		{0x26, 4, "0607ffff", []string{"b read 6+1", "b read 7+1", "b write 6 01", "b write 7 02"}},
		{0xffff, 4, "00ffffff", []string{"last read 0+1", "last write 0 01"}},
		{0x9000, 4, "ffffffff", nil},
	} {
		log = nil
		data := make([]byte, c.size)
		b.PortIn(uint16(c.addr), data)
		b.PortOut(uint16(c.addr), []byte{1, 2, 3, 4}[:c.size])
		if got := fmt.Sprintf("%x", data); got != c.read {
			t.Errorf("port %#x, %d bytes: got %s; want %s", c.addr, c.size, got, c.read)
		}
		if diff := cmp.Diff(c.log, log); diff != "" {
			t.Errorf("port %#x, %d bytes: accesses (-want +got):\n%s", c.addr, c.size, diff)
		}
	}
	log = nil
	data := make([]byte, 8)
	b.MMIORead(0xfebf0000, data)
	b.MMIOWrite(0xfebf0002, []byte{9})
	b.MMIORead(^uint64(0), data[:2])
	want := []string{"m read 0+1", "m read 1+1", "m read 2+1", "m read 3+1", "m write 2 09"}
	if diff := cmp.Diff(want, log); diff != "" {
		t.Errorf("MMIO accesses (-want +got):\n%s", diff)
	}
	if got := fmt.Sprintf("%x", data); got != "ffff0203ffffffff" { // each byte reads its offset, then the last read
		t.Errorf("MMIO read: got %s; want ffff0203ffffffff", got)
	}
}

func TestBusRefuses(t *testing.T) {
	var b devices.Bus
	var log []string
	h := recorder{"x", &log}
	if err := b.AddPorts(0x10, 4, h); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"overlap":     b.AddPorts(0x13, 4, h),
		"inside":      b.AddPorts(0x11, 1, h),
		"around":      b.AddPorts(0, 0x100, h),
		"empty":       b.AddPorts(0x40, 0, h),
		"beyond":      b.AddPorts(0xffff, 2, h),
		"mmio beyond": b.AddMMIO(^uint64(0)-3, 8, h),
	} {
		if err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

type null struct{}

func (null) Read(uint64, []byte)  {}
func (null) Write(uint64, []byte) {}

func TestBusAllocatesNothing(t *testing.T) {
	var b devices.Bus
	if err := b.AddPorts(0x3f8, 8, null{}); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 4)
	if n := testing.AllocsPerRun(100, func() {
		b.PortIn(0x3fd, data[:1])
		b.PortOut(0x3f8, data[:1])
		b.PortOut(0x3ff, data)
		b.MMIORead(1<<40, data)
	}); n != 0 {
		t.Errorf("got %v allocations; want 0", n)
	}
}
