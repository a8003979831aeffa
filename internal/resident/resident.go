// Package resident keeps small what a process holds of the host's memory for
// as long as its guest lives.
package resident

import (
	"runtime/debug"
	"sync"
)

// Trim gives back to the host what the process needed for its start: free heap,
// and the pages of its own code and constants. Of those it gets back from the
// page cache, a minor fault each, what it goes on using: about a third.
//
// It takes milliseconds; other goroutines go on meanwhile.
func Trim() error {
	debug.FreeOSMemory()
	return dropImage() // last: a collection looks at much of it
}

// heldPercent is GOGC while collections are held: none before the heap has 32 MiB.
const heldPercent = 800

var holds struct {
	mu      sync.Mutex // guards what follows
	count   int
	percent int // to go back to
}

// Hold has garbage collected rarely until release is called, for work that makes little of it and wants all processors: the buffers of a move
// alone would begin a collection, 10 ms of a processor. release gives what is free then back to the host, which takes a millisecond or two.
func Hold() (release func()) {
	holds.mu.Lock()
	defer holds.mu.Unlock()
	if holds.count++; holds.count == 1 {
		holds.percent = debug.SetGCPercent(heldPercent)
	}
	return sync.OnceFunc(func() {
		holds.mu.Lock()
		defer holds.mu.Unlock()
		if holds.count--; holds.count == 0 {
			debug.SetGCPercent(holds.percent)
			debug.FreeOSMemory()
		}
	})
}
