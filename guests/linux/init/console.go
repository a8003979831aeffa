package main

import (
	"fmt"
	"os"
)

// console is where lines go that others read.
type console struct{ ports ports }

// line prints one line, in one write: lines of several goroutines do not mix.
func (c *console) line(format string, args ...any) {
	_, _ = os.Stdout.Write(fmt.Appendf(nil, format+"\n", args...))
}

// ready says that all works.
func (c *console) ready() {
	c.line("READY")
	c.ports.out(readyPort, byteReady)
}

// wrong says that something is not as it must be.
func (c *console) wrong(format string, args ...any) {
	c.line(format, args...)
	c.ports.out(readyPort, byteWrong)
}

// fail says that something asked for does not work.
func (c *console) fail(what string, err error) { c.wrong("FAIL %s: %v", what, err) }
