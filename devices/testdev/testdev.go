// Package testdev is a device for guests that check their VMM: registers that
// count how often they are read, so that a read done twice or lost in a move is
// seen by the guest, and a register that carries the wish that the guest end.
package testdev

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/ferryvmm/ferry/devices"
)

// Places of the registers.
const (
	CountPort   = 0x3f4 // 32 bits: reads so far, this one included
	CountMMIO   = 0xfebf0000
	ControlPort = 0x3f2 // 8 bits: bit 0 is set when the guest is asked to end

	CountSize   = 4
	ControlSize = 1

	stopRequested = 1
)

// State is the device's saved state, version 1.
type State struct {
	PortReads, MMIOReads uint32
	Stop                 bool
}

// Version of State.
const Version = 1

// Device is the test device.
type Device struct {
	port, mmio Counter
	control    Control
}

// New returns the device.
func New(saved *State) *Device {
	d := &Device{}
	if saved != nil {
		d.port.reads.Store(saved.PortReads)
		d.mmio.reads.Store(saved.MMIOReads)
		d.control.stop.Store(saved.Stop)
	}
	return d
}

// Save returns the state.
func (d *Device) Save() State {
	return State{PortReads: d.port.reads.Load(), MMIOReads: d.mmio.reads.Load(), Stop: d.control.stop.Load()}
}

// RequestStop asks the guest to end, when it next looks.
func (d *Device) RequestStop() { d.control.stop.Store(true) }

// Port is the counting register in the port space.
func (d *Device) Port() *Counter { return &d.port }

// MMIO is the counting register in the address space.
func (d *Device) MMIO() *Counter { return &d.mmio }

// Control is the register that carries the wish.
func (d *Device) Control() *Control { return &d.control }

// Counter is a register whose value counts its reads.
type Counter struct{ reads atomic.Uint32 }

// Control is the register that asks the guest to end.
type Control struct{ stop atomic.Bool }

var (
	_ devices.Handler = (*Counter)(nil)
	_ devices.Handler = (*Control)(nil)
)

// Read counts an access to the whole register; parts of it read as all ones
// and are not counted.
func (c *Counter) Read(offset uint64, data []byte) {
	if offset != 0 || len(data) != CountSize {
		devices.Unclaimed(data)
		return
	}
	binary.LittleEndian.PutUint32(data, c.reads.Add(1))
}

// Write does nothing.
func (*Counter) Write(uint64, []byte) {}

// Read returns the wish.
func (c *Control) Read(_ uint64, data []byte) {
	clear(data)
	if c.stop.Load() {
		data[0] = stopRequested
	}
}

// Write does nothing.
func (*Control) Write(uint64, []byte) {}
