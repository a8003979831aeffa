// Package ready is the port by which a guest says that it is ready, or that it
// counted something wrong.
package ready

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices"
)

// Port of the device, and the bytes that it knows.
const (
	Port = 0x3f0
	Size = 1

	byteReady = 0x01
	byteWrong = 0xc0
)

// State is the device's saved state, version 1.
type State struct {
	Wrong bool
}

// Version of State.
const Version = 1

// Ready is the device.
type Ready struct {
	at    func(monotonic int64)
	wrong atomic.Bool
}

var _ devices.Handler = (*Ready)(nil)

// New returns the device. at is called on a vCPU's thread when the guest says
// that it is ready, with CLOCK_MONOTONIC in nanoseconds: it must not block.
func New(saved *State, at func(monotonic int64)) *Ready {
	r := &Ready{at: at}
	if saved != nil {
		r.wrong.Store(saved.Wrong)
	}
	return r
}

// Save returns the state.
func (r *Ready) Save() State { return State{Wrong: r.wrong.Load()} }

// Wrong tells whether the guest has counted something wrong.
func (r *Ready) Wrong() bool { return r.wrong.Load() }

// Read finds nothing: the port is for writing.
func (r *Ready) Read(_ uint64, data []byte) { devices.Unclaimed(data) }

// Write takes the guest's word.
func (r *Ready) Write(_ uint64, data []byte) {
	switch data[0] {
	case byteReady:
		var ts unix.Timespec
		if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) == nil {
			r.at(ts.Nano())
		}
	case byteWrong:
		r.wrong.Store(true)
	}
}
