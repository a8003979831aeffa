// Package i8042 is a PC's keyboard controller with nothing plugged in. Guests
// use it to reset the machine; those that look for a keyboard are told, without
// having to wait for a time-out, that there is none.
//
// Source: Intel UPI-41AH/42AH manual; IBM PS/2 Hardware Interface Technical
// Reference, Keyboard and Auxiliary Device Controller.
package i8042

import (
	"sync"

	"github.com/ferryvmm/ferry/devices"
)

// Ports, one byte each, and the interrupt.
const (
	DataPort    = 0x60
	CommandPort = 0x64
	Size        = 1
	IRQ         = 1
)

// State is the controller's saved state, version 1.
type State struct {
	Control  uint8 // the controller's command byte
	Output   uint8 // waits to be read if Full
	Full     bool
	TimedOut bool  // Output stands for a keyboard that did not answer
	Command  uint8 // waits for its parameter; 0: none
}

// Version of State.
const Version = 1

// Controller is the device. Its registers are Data and Command.
type Controller struct {
	reset func()
	line  devices.Interrupt

	mu     sync.Mutex // guards what follows
	s      State
	raised bool
}

// New returns a controller, fresh or in a saved state. reset is called on a
// vCPU's thread: it must not block.
func New(saved *State, reset func(), line devices.Interrupt) *Controller {
	c := &Controller{reset: reset, line: line, s: State{Control: controlTested | controlTranslate}}
	if saved != nil {
		c.s = *saved
	}
	return c
}

// Save returns the state.
func (c *Controller) Save() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.s
}

// Restored raises the line again if it was raised when the state was saved.
func (c *Controller) Restored() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.update()
}

// Data returns the register at DataPort.
func (c *Controller) Data() devices.Handler { return data{c} }

// Command returns the register at CommandPort.
func (c *Controller) Command() devices.Handler { return command{c} }

type (
	data    struct{ *Controller }
	command struct{ *Controller }
)

// Read takes the byte that waits.
func (d data) Read(_ uint64, p []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(p)
	p[0] = d.s.Output
	d.s.Full, d.s.TimedOut = false, false
	d.update()
}

// Write gives a command its parameter, or talks to the keyboard.
func (d data) Write(_ uint64, p []byte) {
	d.mu.Lock()
	reset := d.parameter(p[0])
	d.update()
	d.mu.Unlock()
	if reset {
		d.reset()
	}
}

// Read returns the status.
func (c command) Read(_ uint64, p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(p)
	p[0] = c.status()
}

// Write takes a command.
func (c command) Write(_ uint64, p []byte) {
	c.mu.Lock()
	reset := c.command(p[0])
	c.update()
	c.mu.Unlock()
	if reset {
		c.reset()
	}
}

// update drives the line. Precondition: mu is held.
func (c *Controller) update() {
	if level := c.s.Full && c.s.Control&controlInterrupt != 0; level != c.raised {
		c.raised = level
		_ = c.line.Set(level) // fails only for a VM that is going away
	}
}
