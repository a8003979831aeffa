// Package resident keeps small what a process holds of the host's memory for
// as long as its guest lives.
package resident

import "runtime/debug"

// Trim gives back to the host what the process needed for its start: free heap,
// and the pages of its own code and constants. Of those it gets back from the
// page cache, a minor fault each, what it goes on using: about a third.
//
// It takes milliseconds; other goroutines go on meanwhile.
func Trim() error {
	debug.FreeOSMemory()
	return dropImage() // last: a collection looks at much of it
}
