package virtio

import (
	"context"
	"sync"
)

// Workers are those of one device: they start and stop with its driver, rest and
// work with the device, in whichever order those come. The zero value has none
// and is at rest.
type Workers struct {
	mu      sync.Mutex // guards the next two; held while workers come to rest or end
	all     []*Worker
	working bool
}

// Start adds workers, which are at rest, and lets them do what the others do.
func (w *Workers) Start(all ...*Worker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, all...)
	if w.working {
		resume(all)
	}
}

// Stop ends the workers and forgets them.
func (w *Workers) Stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range w.all {
		k.Stop()
	}
	w.all = nil
}

// Quiesce returns when all are at rest. When ctx ends first the error says so,
// and they come to rest nevertheless.
func (w *Workers) Quiesce(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.working = false
	for _, k := range w.all { // at once, so that one is not waited for while others begin work
		k.ask(resting)
	}
	for _, k := range w.all {
		if err := k.Quiesce(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Resume lets all work.
func (w *Workers) Resume() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.working = true
	resume(w.all)
}

func resume(all []*Worker) {
	for _, k := range all {
		k.Resume()
	}
}
