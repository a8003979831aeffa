package lab

import (
	"time"

	"golang.org/x/sys/unix"
)

// Now is CLOCK_MONOTONIC: the clock of every stamp of an Observer, the same in
// all processes and namespaces of this machine.
func Now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic("lab: CLOCK_MONOTONIC cannot be read: " + err.Error()) // every Linux has it
	}
	return time.Duration(ts.Nano())
}
