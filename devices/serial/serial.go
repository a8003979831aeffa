// Package serial is a 16550A UART, COM1 of a PC.
//
// Source: National Semiconductor PC16550D data sheet, June 1995.
package serial

import (
	"sync"

	"github.com/ferryvmm/ferry/devices"
)

// Port and IRQ of COM1.
const (
	COM1    = 0x3f8
	COM1IRQ = 4
)

// Output takes what the guest sends. It must not block.
type Output interface{ Put(b byte) }

// State is a UART's saved state, version 1.
type State struct {
	IER, LCR, MCR, LSR, SCR, FCR uint8
	DLL, DLM                     uint8
	Changed                      uint8  // modem lines that changed since MSR was read: its low half
	Rx                           []byte // received and not read yet, oldest first
	TxEmpty                      bool   // the transmitter-empty interrupt is pending
}

// Version of State.
const Version = 1

// Serial is one UART.
type Serial struct {
	out  Output
	line devices.Interrupt
	// room is told, without the lock, that Feed may take more.
	room func()

	mu     sync.Mutex // guards what follows
	s      State      // but for Rx
	rx     [fifoSize]byte
	head   int // of rx
	count  int // in rx
	raised bool
}

var _ devices.Handler = (*Serial)(nil)

// New returns a UART in its state after a reset, or in a saved one. room, which
// may be nil, is called on a vCPU's thread when the guest has made room for
// input: it must not block.
func New(saved *State, out Output, line devices.Interrupt, room func()) *Serial {
	u := &Serial{out: out, line: line, room: room, s: State{LSR: lsrTxEmpty, DLL: 12}}
	if saved != nil {
		u.s = *saved
		u.s.IER &= ierMask
		u.s.MCR &= mcrMask
		u.s.FCR &= fcrMask
		u.s.Changed &^= msrLines
		u.s.LSR = saved.LSR&lsrOverrun | lsrTxEmpty
		u.count = copy(u.rx[:u.depth()], saved.Rx)
		u.s.Rx = nil
	}
	return u
}

// Restored raises the line again if it was raised when the state was saved.
func (u *Serial) Restored() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.update()
}

// Save returns the state.
func (u *Serial) Save() State {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.s
	s.Rx = make([]byte, u.count)
	for i := range s.Rx {
		s.Rx[i] = u.rx[(u.head+i)%fifoSize]
	}
	return s
}

// Feed gives the guest input and returns how many bytes there was room for.
func (u *Serial) Feed(p []byte) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := min(len(p), u.free())
	for _, b := range p[:n] {
		u.push(b)
	}
	if n > 0 {
		u.update()
	}
	return n
}

// free is how many bytes Feed would take. Precondition: mu is held.
func (u *Serial) free() int {
	if u.s.MCR&mcrLoop != 0 {
		return 0 // the line is cut off
	}
	return u.depth() - u.count
}

// depth is how many bytes the receiver holds. Precondition: mu is held.
func (u *Serial) depth() int {
	if u.s.FCR&fcrEnable != 0 {
		return fifoSize
	}
	return 1
}

// push adds a received byte. Precondition: mu is held, and there is room.
func (u *Serial) push(b byte) {
	u.rx[(u.head+u.count)%fifoSize] = b
	u.count++
}

// Read reads a register; wider accesses read consecutive ones.
func (u *Serial) Read(offset uint64, data []byte) {
	u.access(func() {
		for i := range data {
			data[i] = u.read(offset + uint64(i))
		}
	})
}

// Write writes a register; wider accesses write consecutive ones.
func (u *Serial) Write(offset uint64, data []byte) {
	u.access(func() {
		for i := range data {
			u.write(offset+uint64(i), data[i])
		}
	})
}

// access does what a guest does to the registers, and what follows from it.
func (u *Serial) access(do func()) {
	u.mu.Lock()
	before := u.free()
	do()
	u.update()
	made := u.free() > before
	u.mu.Unlock()
	if made && u.room != nil {
		u.room()
	}
}

// update drives the line. OUT2 gates it on a PC. Precondition: mu is held.
func (u *Serial) update() {
	level := u.pending() != iirNone && (u.s.MCR&mcrOut2 != 0 && u.s.MCR&mcrLoop == 0)
	if level != u.raised {
		u.raised = level
		_ = u.line.Set(level) // fails only for a VM that is going away
	}
}
