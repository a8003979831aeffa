package serial

// Registers, by offset; DLAB gives 0 and 1 to the divisor.
const (
	regData = iota // RBR, THR, DLL
	regIER         // IER, DLM
	regIIR         // IIR, FCR
	regLCR
	regMCR
	regLSR
	regMSR
	regSCR

	// Size of the register range in bytes.
	Size = 8
)

// Bits of the registers.
const (
	ierRx    = 1 << 0
	ierTx    = 1 << 1
	ierLine  = 1 << 2
	ierModem = 1 << 3
	ierMask  = 0x0f

	iirModem   = 0x00
	iirNone    = 0x01
	iirTx      = 0x02
	iirRx      = 0x04
	iirLine    = 0x06
	iirTimeout = 0x0c
	iirFIFO    = 0xc0

	fcrEnable  = 1 << 0
	fcrClearRx = 1 << 1
	fcrMask    = 0xc9 // what is kept: enable, DMA mode, trigger

	lcrDLAB = 1 << 7

	mcrOut2 = 1 << 3
	mcrLoop = 1 << 4
	mcrMask = 0x1f

	lsrData    = 1 << 0
	lsrOverrun = 1 << 1
	lsrTxEmpty = 1<<5 | 1<<6 // holding register and shifter: output never waits

	msrConnected = 0xb0 // DCD, DSR, CTS
	msrRing      = 1 << 6
	msrLines     = 0xf0 // the lines; below each is the bit that tells of its change
)

// fifoSize is the receive FIFO's depth in bytes.
const fifoSize = 16

// triggers are the fill levels of FCR bits 6 and 7 at which data interrupts.
var triggers = [4]int{1, 4, 8, 14}

// read reads a register, with what reading it clears. Precondition: mu is held.
func (u *Serial) read(reg uint64) byte {
	dlab := u.s.LCR&lcrDLAB != 0
	switch {
	case reg == regData && dlab:
		return u.s.DLL
	case reg == regIER && dlab:
		return u.s.DLM
	case reg == regData:
		if u.count == 0 {
			return 0
		}
		b := u.rx[u.head]
		u.head = (u.head + 1) % fifoSize
		u.count--
		return b
	case reg == regIER:
		return u.s.IER
	case reg == regIIR:
		id := u.pending()
		if id == iirTx {
			u.s.TxEmpty = false // reading it is the acknowledgement
		}
		if u.s.FCR&fcrEnable != 0 {
			id |= iirFIFO
		}
		return id
	case reg == regLCR:
		return u.s.LCR
	case reg == regMCR:
		return u.s.MCR
	case reg == regLSR:
		lsr := u.s.LSR
		if u.count > 0 {
			lsr |= lsrData
		}
		u.s.LSR &^= lsrOverrun
		return lsr
	case reg == regMSR:
		msr := u.lines() | u.s.Changed
		u.s.Changed = 0
		return msr
	case reg == regSCR:
		return u.s.SCR
	}
	return 0xff
}

// write writes a register. Precondition: mu is held.
func (u *Serial) write(reg uint64, b byte) {
	dlab := u.s.LCR&lcrDLAB != 0
	switch {
	case reg == regData && dlab:
		u.s.DLL = b
	case reg == regIER && dlab:
		u.s.DLM = b
	case reg == regData:
		if u.s.MCR&mcrLoop != 0 {
			if u.count < u.depth() {
				u.push(b)
			} else {
				u.s.LSR |= lsrOverrun
			}
		} else {
			u.out.Put(b)
		}
		u.s.TxEmpty = true
	case reg == regIER:
		if b&ierTx != 0 && u.s.IER&ierTx == 0 {
			u.s.TxEmpty = true // enabling it with an empty transmitter interrupts
		}
		u.s.IER = b & ierMask
	case reg == regIIR: // FCR
		if b&fcrClearRx != 0 || (b^u.s.FCR)&fcrEnable != 0 {
			u.head, u.count = 0, 0
		}
		u.s.FCR = b & fcrMask
	case reg == regLCR:
		u.s.LCR = b
	case reg == regMCR:
		was := u.lines()
		u.s.MCR = b & mcrMask
		now := u.lines()
		changed := (was ^ now) &^ msrRing
		changed |= was &^ now & msrRing // of the ring, only its end counts
		u.s.Changed |= changed >> 4
	case reg == regSCR:
		u.s.SCR = b
	}
}

// lines are the modem's: a cable that is always connected, or in a loop RTS, DTR,
// OUT1 and OUT2 as CTS, DSR, RI and DCD. Precondition: mu is held.
func (u *Serial) lines() byte {
	if u.s.MCR&mcrLoop == 0 {
		return msrConnected
	}
	m := u.s.MCR
	return (m>>1&1)<<4 | (m&1)<<5 | (m>>2&1)<<6 | (m>>3&1)<<7
}

// pending is the highest interrupt that is on and enabled: line status, data,
// transmitter, modem. Precondition: mu is held.
func (u *Serial) pending() byte {
	switch {
	case u.s.IER&ierLine != 0 && u.s.LSR&lsrOverrun != 0:
		return iirLine
	case u.s.IER&ierRx != 0 && u.count > 0:
		if u.s.FCR&fcrEnable != 0 && u.count < triggers[u.s.FCR>>6] {
			// The characters below the trigger have waited long enough at once:
			// there is no baud rate here.
			return iirTimeout
		}
		return iirRx
	case u.s.IER&ierTx != 0 && u.s.TxEmpty:
		return iirTx
	case u.s.IER&ierModem != 0 && u.s.Changed != 0:
		return iirModem
	}
	return iirNone
}
