package main

import (
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// getty asks for a name on the serial console, and starts a shell for who has one.
var getty = []string{"/bin/busybox", "getty", "-L", "115200", "ttyS0", "vt100"}

// respawnAfter keeps a log-in that fails at once from taking the machine.
const respawnAfter = time.Second

// logIn keeps a log-in prompt on the console, and waits for processes that lost their parent.
func logIn(c *console) {
	attr := &syscall.ProcAttr{Env: []string{"HOME=/root", "PATH=/bin"}, Files: []uintptr{0, 1, 2}}
	for {
		pid, err := syscall.ForkExec(getty[0], getty, attr)
		if err != nil {
			c.fail("log-in", err)
			return
		}
		for gone := 0; gone != pid; {
			if gone, err = unix.Wait4(-1, nil, 0, nil); err != nil && !errors.Is(err, unix.EINTR) {
				break
			}
		}
		time.Sleep(respawnAfter)
	}
}
