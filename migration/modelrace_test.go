//go:build race

package migration

// spared is how many faults fewer the model has under the race detector, which
// slows it down and finds nothing in it: it is one goroutine.
const spared = 1
