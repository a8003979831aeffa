package testdev_test

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/devices"
	"github.com/ferryvmm/ferry/devices/testdev"
)

func newBus(t *testing.T, d *testdev.Device) *devices.Bus {
	t.Helper()
	b := &devices.Bus{}
	for _, err := range []error{
		b.AddPorts(testdev.CountPort, testdev.CountSize, d.Port()),
		b.AddMMIO(testdev.CountMMIO, testdev.CountSize, d.MMIO()),
		b.AddPorts(testdev.ControlPort, testdev.ControlSize, d.Control()),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func TestCounters(t *testing.T) {
	d := testdev.New(nil)
	b := newBus(t, d)
	port := func() uint32 {
		var p [4]byte
		b.PortIn(0x3f4, p[:])
		return binary.LittleEndian.Uint32(p[:])
	}
	mmio := func() uint32 {
		var p [4]byte
		b.MMIORead(0xfebf0000, p[:])
		return binary.LittleEndian.Uint32(p[:])
	}
	for want := uint32(1); want <= 3; want++ {
		if got := port(); got != want {
			t.Errorf("port counter: got %d; want %d", got, want)
		}
	}
	if got := mmio(); got != 1 {
		t.Errorf("MMIO counter: got %d; want 1: it counts by itself", got)
	}
	// A part of the register is no count, and writes change nothing.
	var p [8]byte
	b.PortIn(0x3f4, p[:1])
	b.PortIn(0x3f6, p[:2])
	b.MMIORead(0xfebf0000, p[:])
	b.PortOut(0x3f4, p[:4])
	b.MMIOWrite(0xfebf0000, p[:4])
	d.RequestStop()
	saved := d.Save()
	if diff := cmp.Diff(testdev.State{PortReads: 3, MMIOReads: 1, Stop: true}, saved); diff != "" {
		t.Errorf("Save (-want +got):\n%s", diff)
	}
	d = testdev.New(&saved)
	b = newBus(t, d)
	if got := port(); got != 4 {
		t.Errorf("port counter after restore: got %d; want 4", got)
	}
	if got := mmio(); got != 2 {
		t.Errorf("MMIO counter after restore: got %d; want 2", got)
	}
	b.PortIn(0x3f2, p[:1])
	if p[0] != 1 {
		t.Errorf("control after restore: got %#x; want 1", p[0])
	}
}

func TestControl(t *testing.T) {
	d := testdev.New(nil)
	b := newBus(t, d)
	p := []byte{0xee, 0xee}
	b.PortIn(0x3f2, p)
	if p[0] != 0 || p[1] != 0xff {
		t.Errorf("control: got % x; want 00 ff", p)
	}
	d.RequestStop()
	b.PortIn(0x3f2, p[:1])
	if p[0] != 1 {
		t.Errorf("control after RequestStop: got %#x; want 1", p[0])
	}
	b.PortOut(0x3f2, []byte{0})
	if b.PortIn(0x3f2, p[:1]); p[0] != 1 {
		t.Error("the guest wrote the wish away")
	}
}
