package power_test

import (
	"testing"

	"github.com/ferryvmm/ferry/devices"
	"github.com/ferryvmm/ferry/devices/power"
)

func TestPower(t *testing.T) {
	resets, offs := 0, 0
	reset, off := func() { resets++ }, func() { offs++ }
	var b devices.Bus
	for _, err := range []error{
		b.AddPorts(power.KeyboardPort, power.Size, power.Keyboard{Reset: reset}),
		b.AddPorts(power.ResetPort, power.Size, power.Control{Reset: reset}),
		b.AddPorts(power.SleepPort, power.Size, power.Sleep{Off: off}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		port         uint16
		data         []byte
		resets, offs int
	}{
		{0x64, []byte{0xfe}, 1, 0},
		{0x64, []byte{0xff}, 0, 0},
		{0x64, []byte{0x60}, 0, 0},
		{0xcf9, []byte{0x02}, 0, 0}, // chooses the kind of reset
		{0xcf9, []byte{0x06}, 1, 0},
		{0xcf9, []byte{0x0e}, 1, 0},
		{0xcf8, []byte{0x00, 0x06, 0x00, 0x80}, 0, 0}, // PCI configuration, not reset
		{0x600, []byte{0x34}, 0, 1},
		{0x600, []byte{0x14}, 0, 0}, // no SLP_EN
		{0x600, []byte{0x20}, 0, 0}, // S0
		{0x600, []byte{0x3c}, 0, 0}, // S7
	} {
		resets, offs = 0, 0
		b.PortOut(c.port, c.data)
		if resets != c.resets || offs != c.offs {
			t.Errorf("port %#x, % x: got %d resets, %d power-offs; want %d, %d", c.port, c.data, resets, offs, c.resets, c.offs)
		}
	}
	for _, port := range []uint16{0x64, 0xcf9, 0x600} {
		p := []byte{0xee}
		if b.PortIn(port, p); p[0] != 0 {
			t.Errorf("port %#x: read %#x; want 0", port, p[0])
		}
	}
}
