// Package rtc is the clock of a PC, a MC146818 with its memory. It has no
// alarm, no periodic and no update interrupt: their enable bits read back as
// written, and register C never shows one.
//
// Source: Motorola MC146818A data sheet, 1984; the century at 0x32 is IBM's.
package rtc

import (
	"sync"
	"time"

	"github.com/ferryvmm/ferry/devices"
)

// Port of the index; the data is behind it.
const (
	Port = 0x70
	Size = 2
)

// Bytes is how much memory the chip has, its registers included.
const Bytes = 128

// Century is the register with the century, always BCD.
const Century = 0x32

// State is the chip's saved state, version 1.
type State struct {
	Index  uint8
	Memory [Bytes]byte // but for the time while the clock goes
	Offset int64       // seconds by which the guest has set its clock ahead of UTC
	At     int64       // host CLOCK_REALTIME when it was saved, in nanoseconds
}

// Version of State.
const Version = 1

// RTC is the chip.
type RTC struct {
	now func() time.Time

	mu sync.Mutex // guards s
	s  State
}

var _ devices.Handler = (*RTC)(nil)

// New returns a clock that shows UTC as now, CLOCK_REALTIME, has it, or one in a
// saved state. With freeze the time since the state was saved has not passed.
func New(saved *State, freeze bool, now func() time.Time) *RTC {
	r := &RTC{now: now}
	if saved == nil {
		r.s.Memory[regA], r.s.Memory[regB] = rateDefault, hours24
		return r
	}
	r.s = *saved
	r.s.Index &= indexMask
	if freeze {
		r.s.Offset -= int64(now().Sub(time.Unix(0, saved.At)) / time.Second)
	}
	if r.s.Offset < -maxOffset || r.s.Offset > maxOffset {
		r.s.Offset = 0 // no guest can have set it
	}
	return r
}

// Save returns the state.
func (r *RTC) Save() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.s
	s.At = r.now().UnixNano()
	return s
}

// Read reads the index or the register that it names.
func (r *RTC) Read(offset uint64, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range data {
		if offset+uint64(i) == 0 {
			data[i] = r.s.Index
		} else {
			data[i] = r.read(r.s.Index)
		}
	}
}

// Write writes the index or the register that it names.
func (r *RTC) Write(offset uint64, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, b := range data {
		if offset+uint64(i) == 0 {
			r.s.Index = b & indexMask // bit 7 masks the NMI, which nothing raises
		} else {
			r.write(r.s.Index, b)
		}
	}
}
