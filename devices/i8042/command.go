package i8042

// Bits of the status.
const (
	statusFull     = 1 << 0
	statusTested   = 1 << 2
	statusCommand  = 1 << 3 // the last write was a command
	statusUnlocked = 1 << 4
	statusTimeOut  = 1 << 6
)

// Bits of the controller's command byte.
const (
	controlInterrupt = 1 << 0
	controlTested    = 1 << 2
	controlTranslate = 1 << 6
)

// Commands. What is not among them is taken and does nothing.
const (
	cmdReadControl  = 0x20
	cmdWriteControl = 0x60
	cmdTestMouse    = 0xa9
	cmdTest         = 0xaa
	cmdTestKeyboard = 0xab
	cmdWriteOutput  = 0xd1 // the output port, whose bit 0 is the reset line
	cmdLoopMouse    = 0xd3
	cmdPulse        = 0xf0 // to 0xff: pulses the output lines whose bits are 0

	passed   = 0x55
	stuckLow = 0x01 // the clock line of a device that is not there
	noAnswer = 0xfe

	lineReset = 1 << 0
)

// status composes the status register. Precondition: mu is held.
func (c *Controller) status() byte {
	status := byte(statusTested | statusUnlocked)
	if c.s.Full {
		status |= statusFull
	}
	if c.s.TimedOut {
		status |= statusTimeOut
	}
	if c.s.Command != 0 {
		status |= statusCommand
	}
	return status
}

// command carries a command out. Precondition: mu is held.
func (c *Controller) command(b byte) (reset bool) {
	c.s.Command = 0
	switch b {
	case cmdReadControl:
		c.answer(c.s.Control)
	case cmdTest:
		c.s.Control |= controlTested
		c.answer(passed)
	case cmdTestKeyboard, cmdTestMouse:
		c.answer(stuckLow)
	case cmdWriteControl, cmdWriteOutput, cmdLoopMouse:
		c.s.Command = b
	default:
		return b >= cmdPulse && b&lineReset == 0
	}
	return false
}

// parameter takes what follows a command, or what is for the keyboard.
// Precondition: mu is held.
func (c *Controller) parameter(b byte) (reset bool) {
	command := c.s.Command
	c.s.Command = 0
	switch command {
	case cmdWriteControl:
		c.s.Control = b
	case cmdWriteOutput:
		return b&lineReset == 0
	case cmdLoopMouse:
		c.answer(b) // as the keyboard's: there is no mouse port that it could come from
	default:
		c.answer(noAnswer)
		c.s.TimedOut = true
	}
	return false
}

// answer puts a byte into the output buffer. Precondition: mu is held.
func (c *Controller) answer(b byte) { c.s.Output, c.s.Full, c.s.TimedOut = b, true, false }
