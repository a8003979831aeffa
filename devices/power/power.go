// Package power is how a guest ends or restarts itself, and how it is asked to.
//
// Sources: Intel 8042 keyboard controller (pulse of the reset line); Intel ICH
// reset control register; ACPI 6.5, 4.8.3.7 Sleep Control Register,
// 5.6.9 interrupt-signaled events.
package power

import "github.com/ferryvmm/ferry/devices"

// Ports.
const (
	KeyboardPort = 0x64  // command 0xfe pulses the reset line
	ResetPort    = 0xcf9 // bit 2 with bit 1: full reset
	SleepPort    = 0x600 // ACPI sleep control: SLP_EN with SLP_TYP 5 powers off
	Size         = 1

	// ResetValue, written to ResetPort, resets.
	ResetValue = 6
	// SleepTypeOff is SLP_TYP of S5.
	SleepTypeOff = 5

	pulseReset = 0xfe
	resetCPU   = 1 << 2
	sleepOff   = 1<<5 | SleepTypeOff<<2 // with SLP_EN
	sleepMask  = 1<<5 | 7<<2
)

// Keyboard is the command port of a keyboard controller without a keyboard.
type Keyboard struct{ Reset func() }

// Control is the reset control register.
type Control struct{ Reset func() }

// Sleep is the sleep control register.
type Sleep struct{ Off func() }

var (
	_ devices.Handler = Keyboard{}
	_ devices.Handler = Control{}
	_ devices.Handler = Sleep{}
)

// Read says that nothing waits in the controller's buffers.
func (Keyboard) Read(_ uint64, data []byte) { clear(data) }

// Write takes a command.
func (k Keyboard) Write(_ uint64, data []byte) {
	if data[0] == pulseReset {
		k.Reset()
	}
}

// Read returns zeros.
func (Control) Read(_ uint64, data []byte) { clear(data) }

// Write resets when asked to.
func (c Control) Write(_ uint64, data []byte) {
	if data[0]&resetCPU != 0 {
		c.Reset()
	}
}

// Read returns zeros.
func (Sleep) Read(_ uint64, data []byte) { clear(data) }

// Write powers off when asked to.
func (s Sleep) Write(_ uint64, data []byte) {
	if data[0]&sleepMask == sleepOff {
		s.Off()
	}
}
