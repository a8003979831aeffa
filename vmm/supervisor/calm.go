package supervisor

import (
	"os"
	"strconv"
	"time"
)

// monitorSlack is how late the monitor of a machine's Go scheduler may look.
const monitorSlack = time.Millisecond

// calm makes the monitor of the Go scheduler of a machine sleep longer. It looks
// every 20 us as long as it finds processors to take from threads in system
// calls, which it does for ever where a vCPU exits now and then: it wakes 4000
// times a second and, on a busy host of two CPUs, takes a tenth of one. Those
// processors are nobody's need: there is one for every thread (GOMAXPROCS).
//
// Nothing depends on it, and not everybody may do it (CAP_SYS_NICE): it fails
// in silence.
func calm(pid int) {
	if tid := monitor(pid); tid != 0 {
		slack := strconv.FormatInt(monitorSlack.Nanoseconds(), 10)
		_ = os.WriteFile("/proc/"+strconv.Itoa(tid)+"/timerslack_ns", []byte(slack), 0)
	}
}

// monitor is the thread of a Go program that its runtime starts first, 0 if
// there is none. Where thread numbers have begun anew meanwhile it may be
// another, whose timers then are late.
func monitor(pid int) int {
	threads, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	if err != nil {
		return 0
	}
	first := 0
	for _, t := range threads {
		if tid, err := strconv.Atoi(t.Name()); err == nil && tid > pid && (first == 0 || tid < first) {
			first = tid
		}
	}
	return first
}
