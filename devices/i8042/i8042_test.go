package i8042_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/devices"
	"github.com/ferryvmm/ferry/devices/i8042"
)

// rig is a controller on a bus.
type rig struct {
	*i8042.Controller
	bus    devices.Bus
	line   bool
	resets int
}

func (r *rig) Set(level bool) error {
	r.line = level
	return nil
}

func newRig(t *testing.T, saved *i8042.State) *rig {
	t.Helper()
	r := &rig{}
	r.Controller = i8042.New(saved, func() { r.resets++ }, r)
	if err := r.bus.AddPorts(i8042.DataPort, i8042.Size, r.Data()); err != nil {
		t.Fatal(err)
	}
	if err := r.bus.AddPorts(i8042.CommandPort, i8042.Size, r.Command()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) in(port uint16) byte {
	p := []byte{0xee}
	r.bus.PortIn(port, p)
	return p[0]
}

func (r *rig) out(port uint16, b byte) { r.bus.PortOut(port, []byte{b}) }

const (
	full     = 1 << 0
	waiting  = 1 << 3
	timedOut = 1 << 6
)

// TestProbe is what a driver does to find a keyboard and a mouse: no step of it
// may have to wait for an answer that does not come.
func TestProbe(t *testing.T) {
	r := newRig(t, nil)
	ask := func(what string, command byte, parameters []byte, want byte) {
		t.Helper()
		r.out(i8042.CommandPort, command)
		for _, p := range parameters {
			if r.in(i8042.CommandPort)&waiting == 0 {
				t.Errorf("%s: the controller does not wait for a parameter", what)
			}
			r.out(i8042.DataPort, p)
		}
		if r.in(i8042.CommandPort)&full == 0 {
			t.Errorf("%s: no answer", what)
		}
		if got := r.in(i8042.DataPort); got != want {
			t.Errorf("%s: got %#x; want %#x", what, got, want)
		}
		if got := r.in(i8042.CommandPort); got != 0x14 {
			t.Errorf("%s: status after the answer: got %#x; want 0x14", what, got)
		}
	}
	ask("self-test", 0xaa, nil, 0x55)
	ask("read control", 0x20, nil, 0x44)
	ask("mouse loop", 0xd3, []byte{0x5a}, 0x5a) // without the status bit of a mouse: none is there
	ask("test mouse", 0xa9, nil, 0x01)
	ask("test keyboard", 0xab, nil, 0x01)
	for _, b := range []byte{0xa7, 0xa8, 0xad, 0xae, 0x21, 0xd0} {
		if r.out(i8042.CommandPort, b); r.in(i8042.CommandPort) != 0x14 {
			t.Errorf("command %#x: got status %#x; want 0x14", b, r.in(i8042.CommandPort))
		}
	}
	r.out(i8042.CommandPort, 0x60)
	r.out(i8042.DataPort, 0x45) // interrupts on
	ask("read control again", 0x20, nil, 0x45)

	r.out(i8042.DataPort, 0xf2) // to the keyboard: who are you?
	if got := r.in(i8042.CommandPort); got&(full|timedOut) != full|timedOut || !r.line {
		t.Errorf("keyboard: got status %#x, line %v; want a time-out that interrupts", got, r.line)
	}
	if got := r.in(i8042.DataPort); got != 0xfe || r.line {
		t.Errorf("keyboard: got %#x, line %v; want 0xfe and the line down", got, r.line)
	}
	if r.resets != 0 {
		t.Errorf("got %d resets; want none", r.resets)
	}
}

func TestReset(t *testing.T) {
	for _, c := range []struct {
		name   string
		writes [][2]byte // port, byte
		want   int
	}{
		{"pulse", [][2]byte{{0x64, 0xfe}}, 1},
		{"pulse all", [][2]byte{{0x64, 0xf0}}, 1},
		{"pulse none", [][2]byte{{0x64, 0xff}}, 0},
		{"pulse another", [][2]byte{{0x64, 0xfd}}, 0},
		{"output port", [][2]byte{{0x64, 0xd1}, {0x60, 0xfe}}, 1},
		{"gate A20", [][2]byte{{0x64, 0xd1}, {0x60, 0xdf}}, 0},
		{"to the keyboard", [][2]byte{{0x60, 0xfe}}, 0},
		{"parameter forgotten", [][2]byte{{0x64, 0xd1}, {0x64, 0x20}, {0x60, 0xfe}}, 0},
	} {
		r := newRig(t, nil)
		for _, w := range c.writes {
			r.out(uint16(w[0]), w[1])
		}
		if r.resets != c.want {
			t.Errorf("%s: got %d resets; want %d", c.name, r.resets, c.want)
		}
	}
}

func TestMovesMidway(t *testing.T) {
	r := newRig(t, nil)
	r.out(i8042.CommandPort, 0x60)
	s := r.Save()
	r = newRig(t, &s)
	r.out(i8042.DataPort, 1)
	r.out(i8042.DataPort, 0xff)
	s = r.Save()
	if diff := cmp.Diff(i8042.State{Control: 1, Output: 0xfe, Full: true, TimedOut: true}, s); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	r = newRig(t, &s)
	if r.line {
		t.Error("the line is raised before the chips are restored")
	}
	if r.Restored(); !r.line {
		t.Error("the line is not raised again")
	}
}

func TestAllocatesNothing(t *testing.T) {
	r := newRig(t, nil)
	p := make([]byte, 4)
	if n := testing.AllocsPerRun(100, func() {
		r.bus.PortOut(i8042.CommandPort, p)
		r.bus.PortOut(i8042.DataPort, p)
		r.bus.PortIn(i8042.CommandPort, p)
		r.bus.PortIn(i8042.DataPort, p)
	}); n != 0 {
		t.Errorf("got %v allocations; want 0", n)
	}
}
