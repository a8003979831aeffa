package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// console is where lines go that others read.
type console struct{ ports ports }

// line prints one line, in one write: lines of several goroutines do not mix.
func (c *console) line(format string, args ...any) {
	_, _ = os.Stdout.Write(fmt.Appendf(nil, format+"\n", args...))
}

// ready says that all works, and signals it once the line has left: a VMM may end where it does not know the port.
func (c *console) ready() {
	c.line("READY")
	_ = unix.IoctlSetInt(unix.Stdout, unix.TCSBRK, 1) // tcdrain; fails where the console is no terminal
	c.ports.out(readyPort, byteReady)
}

// wrong says that something is not as it must be.
func (c *console) wrong(format string, args ...any) {
	c.line(format, args...)
	c.ports.out(readyPort, byteWrong)
}

// fail says that something asked for does not work.
func (c *console) fail(what string, err error) { c.wrong("FAIL %s: %v", what, err) }
