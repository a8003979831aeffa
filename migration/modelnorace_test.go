//go:build !race

package migration

// spared is how many faults fewer the model has here.
const spared = 0
