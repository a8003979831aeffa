package power_test

import (
	"testing"

	"github.com/ferryvmm/ferry/devices"
	"github.com/ferryvmm/ferry/devices/power"
)

// wire is an interrupt line.
type wire bool

func (w *wire) Set(level bool) error {
	*w = wire(level)
	return nil
}

func TestButton(t *testing.T) {
	var line wire
	button := power.NewButton(nil, &line)
	var bus devices.Bus
	if err := bus.AddPorts(power.ButtonPort, power.ButtonSize, button); err != nil {
		t.Fatal(err)
	}
	want := func(what string, pressed bool) {
		t.Helper()
		if bool(line) != pressed || button.Pressed() != pressed || button.Save().Pressed != pressed {
			t.Errorf("%s: got line %v, pressed %v, saved %v; want %v", what, line, button.Pressed(), button.Save().Pressed, pressed)
		}
	}
	read := func(port uint16, size int, want byte) {
		t.Helper()
		data := []byte{0xee, 0xee, 0xee, 0xee}[:size]
		bus.PortIn(port, data)
		for i, b := range data {
			if w := want * byte(1-min(i, 1)); b != w {
				t.Errorf("port %#x, %d bytes: got % x; want %#x first and zeros", port, size, data, want)
			}
		}
	}
	want("fresh", false)
	read(0x604, 4, 0)
	for range 2 { // a second press before the guest asks is the same
		if err := button.Press(); err != nil {
			t.Fatal(err)
		}
		want("pressed", true)
	}
	read(0x605, 1, 0)
	bus.PortOut(0x604, []byte{0, 0, 0, 0})
	want("only reading the register takes it", true)
	read(0x604, 4, 1)
	want("read", false)
	read(0x604, 1, 0)
}

func TestButtonIsRestored(t *testing.T) {
	for _, pressed := range []bool{false, true} {
		var line wire
		b := power.NewButton(&power.State{Pressed: pressed}, &line)
		if line {
			t.Error("the line is raised before the chips are restored")
		}
		b.Restored()
		if bool(line) != pressed || b.Pressed() != pressed {
			t.Errorf("got line %v, pressed %v; want %v", line, b.Pressed(), pressed)
		}
	}
}
