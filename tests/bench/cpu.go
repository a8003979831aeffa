package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// ticks is how many clock ticks of /proc make a second (USER_HZ): fixed on x86.
const ticks = 100

// cpuOf is the CPU time that processes have used so far, in seconds, user and system: proc_pid_stat(5).
func cpuOf(pids ...int) (seconds float64, err error) {
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		// The name, in parentheses, may contain anything.
		fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
		if len(fields) < 13 {
			return 0, fmt.Errorf("/proc/%d/stat: got %q", pid, text)
		}
		for _, f := range fields[11:13] { // utime, stime
			n, err := strconv.ParseUint(string(f), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
			}
			seconds += float64(n) / ticks
		}
	}
	return seconds, nil
}
