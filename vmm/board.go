package vmm

import (
	"errors"

	"github.com/ferryvmm/ferry/devices"
	"github.com/ferryvmm/ferry/devices/console"
	"github.com/ferryvmm/ferry/devices/power"
	"github.com/ferryvmm/ferry/devices/ready"
	"github.com/ferryvmm/ferry/devices/serial"
	"github.com/ferryvmm/ferry/devices/testdev"
	"github.com/ferryvmm/ferry/internal/kvm"
)

// wiring is what devices do to the machine around them. All of it is called on
// vCPU threads and must not block.
type wiring struct {
	console  *console.Hub
	ready    func(monotonic int64)
	powerOff func()
	reset    func()
}

// line is an interrupt line of the in-kernel chips.
type line struct {
	vm  *kvm.VM
	irq uint32
}

var _ devices.Interrupt = line{}

// Set drives the line.
func (l line) Set(level bool) error { return l.vm.IRQLine(l.irq, level) }

// boardState is the state of every device.
type boardState struct {
	Serial serial.State
	Ready  ready.State
	Test   *testdev.State // nil: the plan has no test device
}

// board is the guest's devices on their bus.
type board struct {
	bus    *devices.Bus
	serial *serial.Serial
	ready  *ready.Ready
	test   *testdev.Device // nil: the plan has none
}

// newBoard makes the devices of a plan, fresh or in a saved state.
func newBoard(p Plan, vm *kvm.VM, w wiring, saved *boardState) (*board, error) {
	var s boardState
	b := &board{bus: &devices.Bus{}}
	var fromSerial *serial.State
	var fromReady *ready.State
	if saved != nil {
		s = *saved
		if (s.Test != nil) != p.TestDevice {
			return nil, errors.New("state and plan differ on the test device")
		}
		fromSerial, fromReady = &s.Serial, &s.Ready
	}
	b.serial = serial.New(fromSerial, w.console, line{vm, serial.COM1IRQ}, w.console.Room)
	b.ready = ready.New(fromReady, w.ready)
	errs := []error{
		b.bus.AddPorts(serial.COM1, serial.Size, b.serial),
		b.bus.AddPorts(ready.Port, ready.Size, b.ready),
		b.bus.AddPorts(power.KeyboardPort, power.Size, power.Keyboard{Reset: w.reset}),
		b.bus.AddPorts(power.ResetPort, power.Size, power.Control{Reset: w.reset}),
		b.bus.AddPorts(power.SleepPort, power.Size, power.Sleep{Off: w.powerOff}),
	}
	if p.TestDevice {
		b.test = testdev.New(s.Test)
		errs = append(errs,
			b.bus.AddPorts(testdev.CountPort, testdev.CountSize, b.test.Port()),
			b.bus.AddMMIO(testdev.CountMMIO, testdev.CountSize, b.test.MMIO()),
			b.bus.AddPorts(testdev.ControlPort, testdev.ControlSize, b.test.Control()),
		)
	}
	return b, errors.Join(errs...)
}

// save returns the devices' state. Precondition: every vCPU is parked.
func (b *board) save() boardState {
	s := boardState{Serial: b.serial.Save(), Ready: b.ready.Save()}
	if b.test != nil {
		t := b.test.Save()
		s.Test = &t
	}
	return s
}

// restored raises again the interrupts whose cause is still there. It comes
// after the chips were restored, which would forget them.
func (b *board) restored() { b.serial.Restored() }

// wrong tells whether the guest has counted something wrong.
func (b *board) wrong() bool { return b.ready.Wrong() }
