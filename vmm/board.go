package vmm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ferryvmm/ferry/devices"
	"github.com/ferryvmm/ferry/devices/console"
	"github.com/ferryvmm/ferry/devices/power"
	"github.com/ferryvmm/ferry/devices/ready"
	"github.com/ferryvmm/ferry/devices/rtc"
	"github.com/ferryvmm/ferry/devices/serial"
	"github.com/ferryvmm/ferry/devices/testdev"
	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/vmm/firmware"
)

// wiring is what devices do to the machine around them. All of it is called on
// vCPU threads and must not block.
type wiring struct {
	console  *console.Hub
	ready    func(monotonic int64)
	powerOff func()
	reset    func()
	backends *backends
	log      *slog.Logger
}

// line is an interrupt line of the in-kernel chips.
type line struct {
	vm  *kvm.VM
	irq uint32
}

var _ devices.Interrupt = line{}

// Set drives the line.
func (l line) Set(level bool) error { return l.vm.IRQLine(l.irq, level) }

// boardState is the state of the devices that every machine has, version 2.
type boardState struct {
	Serial serial.State
	Ready  ready.State
	Test   *testdev.State // nil: the plan has no test device
	RTC    *rtc.State     // nil in version 1
	Button *power.State   // nil in version 1
}

// board is the guest's devices on their bus.
type board struct {
	bus    *devices.Bus
	serial *serial.Serial
	ready  *ready.Ready
	test   *testdev.Device // nil: the plan has none
	rtc    *rtc.RTC
	button *power.Button
	slots  []*slot
}

// saved is the state of a whole board.
type savedBoard struct {
	fixed boardState
	slots map[string]*slotState // by section
}

// newBoard makes the devices of a plan, fresh or in a saved state, at rest. each
// has the wires of the slots.
func newBoard(p Plan, vm *kvm.VM, m *guestmem.Memory, w wiring, each []*wires, saved *savedBoard) (_ *board, err error) {
	var s boardState
	b := &board{bus: &devices.Bus{}}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	var fromSerial *serial.State
	var fromReady *ready.State
	if saved != nil {
		s = saved.fixed
		if (s.Test != nil) != p.TestDevice {
			return nil, errors.New("state and plan differ on the test device")
		}
		fromSerial, fromReady = &s.Serial, &s.Ready
	}
	b.serial = serial.New(fromSerial, w.console, line{vm, serial.COM1IRQ}, w.console.Room)
	b.ready = ready.New(fromReady, w.ready)
	b.rtc = rtc.New(s.RTC, p.Clock == ClockFreeze, time.Now)
	b.button = power.NewButton(s.Button, line{vm, firmware.ButtonGSI})
	errs := []error{
		b.bus.AddPorts(serial.COM1, serial.Size, b.serial),
		b.bus.AddPorts(ready.Port, ready.Size, b.ready),
		b.bus.AddPorts(power.KeyboardPort, power.Size, power.Keyboard{Reset: w.reset}),
		b.bus.AddPorts(power.ResetPort, power.Size, power.Control{Reset: w.reset}),
		b.bus.AddPorts(power.SleepPort, power.Size, power.Sleep{Off: w.powerOff}),
		b.bus.AddPorts(power.ButtonPort, power.ButtonSize, b.button),
		b.bus.AddPorts(rtc.Port, rtc.Size, b.rtc),
	}
	if p.TestDevice {
		b.test = testdev.New(s.Test)
		errs = append(errs,
			b.bus.AddPorts(testdev.CountPort, testdev.CountSize, b.test.Port()),
			b.bus.AddMMIO(testdev.CountMMIO, testdev.CountSize, b.test.MMIO()),
			b.bus.AddPorts(testdev.ControlPort, testdev.ControlSize, b.test.Control()),
		)
	}
	slots := p.Slots
	if saved == nil && w.backends.lent {
		slots = nil
	}
	for i, plan := range slots {
		var state *slotState
		if saved != nil {
			state = saved.slots[plan.section()]
		}
		k, err := newSlot(plan, m, each[i], w.backends, w.log, state)
		if err != nil {
			return nil, errors.Join(err, errors.Join(errs...))
		}
		b.slots = append(b.slots, k)
		errs = append(errs, b.bus.AddMMIO(plan.Base, slotSize, k.transport))
	}
	return b, errors.Join(errs...)
}

// resume lets the devices work.
func (b *board) resume() {
	for _, s := range b.slots {
		s.transport.Resume()
	}
}

// quiesce puts the devices at rest. When ctx ends first, the error names the one
// that does not come to it; then all want a resume.
func (b *board) quiesce(ctx context.Context) error {
	for _, s := range b.slots {
		if err := s.transport.Quiesce(ctx); err != nil {
			return &Failure{Code: "device_busy", Message: fmt.Sprintf("%v does not come to rest: %v", s.plan.Device, err), Remedy: "wait for it, or see what its backend hangs on; the guest runs on"}
		}
	}
	return nil
}

// close ends the devices, waiting for what they have submitted.
func (b *board) close() error {
	var errs []error
	for _, s := range b.slots {
		errs = append(errs, s.transport.Close())
	}
	return errors.Join(errs...)
}

// save returns the state of the fixed devices. Precondition: every vCPU is parked.
func (b *board) save() boardState {
	clock, button := b.rtc.Save(), b.button.Save()
	s := boardState{Serial: b.serial.Save(), Ready: b.ready.Save(), RTC: &clock, Button: &button}
	if b.test != nil {
		t := b.test.Save()
		s.Test = &t
	}
	return s
}

// restored raises again the interrupts whose cause is still there. It comes
// after the chips were restored, which would forget them.
func (b *board) restored() {
	b.serial.Restored()
	b.button.Restored()
	for _, s := range b.slots {
		s.transport.Restored()
	}
}

// wrong tells whether the guest has counted something wrong.
func (b *board) wrong() bool { return b.ready.Wrong() }
