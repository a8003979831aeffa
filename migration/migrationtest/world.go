package migrationtest

import (
	"fmt"
	"sync"
)

// World counts the copies of one guest that run.
type World struct {
	mu      sync.Mutex // guards all below
	running map[string]bool
	wrong   []error
}

// NewWorld makes a world in which nothing runs.
func NewWorld() *World { return &World{running: map[string]bool{}} }

// set says whether the copy at a place runs.
func (w *World) set(place string, runs bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running[place] = runs
	n := 0
	for _, r := range w.running {
		if r {
			n++
		}
	}
	if n > 1 {
		w.wrong = append(w.wrong, fmt.Errorf("%d copies run once %s does", n, place))
	}
}

// Running says whether the copy at a place runs.
func (w *World) Running(place string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.running[place]
}

// Wrong lists when more than one copy ran.
func (w *World) Wrong() []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wrong
}
