package power

import (
	"sync"

	"github.com/ferryvmm/ferry/devices"
)

// Port of the button's event register, 32 bits, and the bit in it.
const (
	ButtonPort    = 0x604
	ButtonSize    = 4
	ButtonPressed = 1
)

// State is the button's saved state, version 1.
type State struct {
	Pressed bool
}

// Version of State.
const Version = 1

// Button is the power button, as an event of an ACPI generic event device: a
// press is kept, and its line raised, until the guest reads the register.
type Button struct {
	line devices.Interrupt

	mu      sync.Mutex // guards pressed, and the line with it
	pressed bool
}

var _ devices.Handler = (*Button)(nil)

// NewButton returns a button, fresh or in a saved state.
func NewButton(saved *State, line devices.Interrupt) *Button {
	return &Button{line: line, pressed: saved != nil && saved.Pressed}
}

// Save returns the state.
func (b *Button) Save() State { return State{Pressed: b.Pressed()} }

// Restored raises the line again if it was raised when the state was saved.
func (b *Button) Restored() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pressed {
		_ = b.line.Set(true) // fails only for a VM that is going away
	}
}

// Press asks the guest to power off.
func (b *Button) Press() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pressed = true
	return b.line.Set(true)
}

// Pressed tells whether there was a press that the guest has not asked about: a
// guest that never does has no driver for the button.
func (b *Button) Pressed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pressed
}

// Read tells of a press, once.
func (b *Button) Read(offset uint64, data []byte) {
	clear(data)
	if offset != 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pressed {
		b.pressed = false
		data[0] = ButtonPressed
		_ = b.line.Set(false) // fails only for a VM that is going away
	}
}

// Write does nothing.
func (b *Button) Write(uint64, []byte) {}
