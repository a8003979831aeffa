package serial_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/devices/serial"
)

// rig is a UART with its surroundings.
type rig struct {
	*serial.Serial
	out   []byte
	line  bool
	edges int
	rooms int
}

func (r *rig) Put(b byte) { r.out = append(r.out, b) }

func (r *rig) Set(level bool) error {
	if r.line != level {
		r.edges++
	}
	r.line = level
	return nil
}

func newRig(saved *serial.State) *rig {
	r := &rig{}
	r.Serial = serial.New(saved, r, r, func() { r.rooms++ })
	return r
}

func (r *rig) in(reg uint64) byte {
	var b [1]byte
	r.Read(reg, b[:])
	return b[0]
}

func (r *rig) set(reg uint64, b byte) { r.Write(reg, []byte{b}) }

func (r *rig) want(t *testing.T, what string, reg uint64, want byte) {
	t.Helper()
	if got := r.in(reg); got != want {
		t.Errorf("%s: register %d: got %#02x; want %#02x", what, reg, got, want)
	}
}

func (r *rig) wantLine(t *testing.T, what string, want bool) {
	t.Helper()
	if r.line != want {
		t.Errorf("%s: interrupt line: got %v; want %v", what, r.line, want)
	}
}

const (
	data, ier, iir, fcr, lcr, mcr, lsr, msr, scr = 0, 1, 2, 2, 3, 4, 5, 6, 7
)

func TestReset(t *testing.T) {
	r := newRig(nil)
	r.want(t, "reset", ier, 0)
	r.want(t, "reset", iir, 0x01)
	r.want(t, "reset", lcr, 0)
	r.want(t, "reset", mcr, 0)
	r.want(t, "reset", lsr, 0x60)
	r.want(t, "reset", msr, 0xb0)
	r.want(t, "reset", data, 0)
	r.set(scr, 0x5a)
	r.want(t, "scratch", scr, 0x5a)
	r.set(ier, 0xff)
	r.want(t, "enable", ier, 0x0f)
	if r.line {
		t.Error("the line is up without OUT2")
	}
}

func TestDivisor(t *testing.T) {
	r := newRig(nil)
	r.set(lcr, 0x83)
	r.want(t, "9600 after reset", data, 12)
	r.Write(data, []byte{0x34, 0x12})
	r.want(t, "divisor", data, 0x34)
	r.want(t, "divisor", ier, 0x12)
	r.set(lcr, 0x03)
	r.want(t, "no divisor", ier, 0)
	r.set(data, 'x')
	if diff := cmp.Diff([]byte("x"), r.out); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

func TestTransmitInterrupt(t *testing.T) {
	r := newRig(nil)
	r.set(mcr, 0x08)
	r.set(ier, 2) // an empty transmitter interrupts when that is enabled
	r.wantLine(t, "enabled", true)
	r.want(t, "enabled", iir, 0x02)
	r.wantLine(t, "acknowledged by reading IIR", false)
	r.want(t, "acknowledged", iir, 0x01)
	r.set(data, 'a')
	r.wantLine(t, "sent", true)
	r.set(ier, 0)
	r.wantLine(t, "disabled", false)
	r.want(t, "disabled", iir, 0x01)
	r.set(ier, 2)
	r.set(ier, 2)
	r.want(t, "enabled again", iir, 0x02)
	r.set(ier, 2)
	r.want(t, "enabled while it was", iir, 0x01)
}

func TestReceive(t *testing.T) {
	r := newRig(nil)
	r.set(mcr, 0x08)
	r.set(ier, 1)
	if n := r.Feed([]byte("ab")); n != 1 {
		t.Errorf("without FIFO: Feed took %d; want 1", n)
	}
	r.wantLine(t, "received", true)
	r.want(t, "received", lsr, 0x61)
	r.want(t, "received", iir, 0x04)
	r.want(t, "received", data, 'a')
	r.wantLine(t, "read", false)
	if r.rooms != 1 {
		t.Errorf("room after reading: told %d times; want 1", r.rooms)
	}
	r.set(fcr, 0x81) // FIFO, trigger 8
	in := []byte("0123456789abcdefgh")
	if n := r.Feed(in[:7]); n != 7 {
		t.Errorf("FIFO: Feed took %d; want 7", n)
	}
	r.want(t, "below the trigger", iir, 0xcc)
	if n := r.Feed(in[7:]); n != 9 {
		t.Errorf("FIFO: Feed took %d; want 9", n)
	}
	r.want(t, "above the trigger", iir, 0xc4)
	for _, want := range in[:16] {
		r.want(t, "in order", data, want)
	}
	r.want(t, "empty", lsr, 0x60)
	r.Feed(in)
	rooms := r.rooms
	r.set(fcr, 0x83)
	r.want(t, "cleared", lsr, 0x60)
	if r.rooms == rooms {
		t.Error("clearing the FIFO made room, and nobody was told")
	}
}

func TestPriorities(t *testing.T) {
	r := newRig(nil)
	r.set(mcr, 0x18)
	r.set(data, 1)
	r.set(data, 2) // overrun in the loop
	r.set(ier, 0x0f)
	r.want(t, "line status first", iir, 0x06)
	r.want(t, "line status", lsr, 0x63)
	r.want(t, "line status is cleared by reading it", lsr, 0x61)
	r.want(t, "data second", iir, 0x04)
	r.want(t, "data", data, 1)
	r.want(t, "transmitter third", iir, 0x02)
	r.want(t, "modem last", iir, 0x00)
	r.want(t, "modem", msr, 0x83) // OUT2 loops to DCD, which never fell; CTS and DSR did
	r.want(t, "nothing", iir, 0x01)
}

func TestLoopback(t *testing.T) {
	r := newRig(nil)
	r.set(mcr, 0x1a) // what Linux probes with: OUT2 and RTS come back as DCD and CTS
	if got := r.in(msr) & 0xf0; got != 0x90 {
		t.Errorf("MSR in the loop: got %#x; want 0x90", got)
	}
	if n := r.Feed([]byte("x")); n != 0 {
		t.Errorf("Feed into a loop took %d; want 0", n)
	}
	r.set(data, 'l')
	r.want(t, "looped", data, 'l')
	r.set(ier, 1)
	r.set(data, 'l')
	r.wantLine(t, "in the loop OUT2 is cut off", false)
	if len(r.out) != 0 {
		t.Errorf("the loop sent %q outside", r.out)
	}
	rooms := r.rooms
	r.in(data)
	r.set(mcr, 0x08)
	if r.rooms == rooms {
		t.Error("leaving the loop made room, and nobody was told")
	}
	r.in(msr)
	r.set(mcr, 0x1c) // OUT1: the ring's start does not count
	r.in(msr)
	r.set(mcr, 0x18)
	r.want(t, "the ring's end does", msr, 0x84)
}

func TestSaveRestore(t *testing.T) {
	r := newRig(nil)
	r.set(mcr, 0x08)
	r.set(fcr, 0xc1)
	r.set(ier, 0x03)
	r.Feed([]byte("hello"))
	r.in(data)
	saved := r.Save()
	n := newRig(&saved)
	n.wantLine(t, "before Restored", false)
	n.Restored()
	n.wantLine(t, "after Restored", true)
	if diff := cmp.Diff(saved, n.Save()); diff != "" {
		t.Errorf("save, restore, save (-want +got):\n%s", diff)
	}
	n.want(t, "input survives", data, 'e')
	// A peer's state cannot break the device.
	bad := serial.State{IER: 0xff, LCR: 0xff, MCR: 0xff, LSR: 0xff, FCR: 0xff, Changed: 0xff, Rx: make([]byte, 1000)}
	got := newRig(&bad).Save()
	want := serial.State{IER: 0x0f, LCR: 0xff, MCR: 0x1f, LSR: 0x62, FCR: 0xc9, Changed: 0x0f, Rx: make([]byte, 16)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("state from a hostile peer (-want +got):\n%s", diff)
	}
}

func TestAllocatesNothing(t *testing.T) {
	u := serial.New(nil, discard{}, discard{}, func() {})
	p := []byte{0x41}
	if n := testing.AllocsPerRun(100, func() {
		u.Write(data, p)
		u.Read(lsr, p)
		u.Read(data, p)
	}); n != 0 {
		t.Errorf("got %v allocations; want 0", n)
	}
}

type discard struct{}

func (discard) Put(byte)       {}
func (discard) Set(bool) error { return nil }

// FuzzSerial has a guest do anything. A twin that is saved and restored on the way behaves the same; the line is up exactly
// when the identification says so.
func FuzzSerial(f *testing.F) {
	f.Add([]byte{0x0c, 0x08, 0x0a, 0x81, 0x09, 0x0f, 0x20, 5, 0x18, 'x', 0x00, 0x30, 0x02, 0x05})
	f.Add([]byte{0x0c, 0x1f, 0x08, 'a', 0x08, 'b', 0x05, 0x30, 0x00, 0x06})
	f.Fuzz(func(t *testing.T, ops []byte) {
		a, b := newRig(nil), newRig(nil)
		arg := func() (v byte) {
			if len(ops) > 0 {
				v, ops = ops[0], ops[1:]
			}
			return v
		}
		for len(ops) > 0 {
			op := arg()
			reg := uint64(op & 7)
			switch op >> 3 & 7 {
			case 0, 5:
				if x, y := a.in(reg), b.in(reg); x != y {
					t.Fatalf("register %d: got %#x from the restored; want %#x", reg, y, x)
				}
			case 1, 2, 3:
				v := arg()
				a.set(reg, v)
				b.set(reg, v)
			case 4:
				p := make([]byte, arg()%40)
				if x, y := a.Feed(p), b.Feed(p); x != y || x > 16 {
					t.Fatalf("Feed: got %d from the restored; want %d, at most 16", y, x)
				}
			default:
				saved := b.Save()
				r := newRig(&saved)
				r.out, r.rooms = b.out, b.rooms
				b = r
				b.Restored()
			}
			if a.line != b.line {
				t.Fatalf("line: got %v from the restored; want %v", b.line, a.line)
			}
			s := a.Save()
			if up := s.MCR&0x18 == 0x08 && a.peekIIR()&1 == 0; up != a.line {
				t.Fatalf("line: got %v; want %v", a.line, up)
			}
		}
		if diff := cmp.Diff(a.Save(), b.Save()); diff != "" {
			t.Fatalf("state of the restored (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(a.out, b.out); diff != "" {
			t.Fatalf("output of the restored (-want +got):\n%s", diff)
		}
	})
}

// peekIIR reads the identification of a copy, for reading it has an effect.
func (r *rig) peekIIR() byte {
	s := r.Save()
	return newRig(&s).in(iir)
}
