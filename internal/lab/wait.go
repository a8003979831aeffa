package lab

import (
	"context"
	"fmt"
)

// waiter is one call that waits for an event.
type waiter struct {
	match func(Event) bool // called with the Observer's lock held
	found chan Event       // capacity 1; closed when the streams have ended
}

// Wait returns the first event, of those remembered and those to come, that
// match accepts. Heartbeats are not remembered. match is called with the
// Observer locked: it must be quick and must not call it.
//
// It fails with ErrPanic when the guest panicked, with ErrEnded when every
// stream has ended, and when ctx ends; each error says what was printed last.
func (o *Observer) Wait(ctx context.Context, match func(Event) bool) (Event, error) {
	o.mu.Lock()
	for _, e := range o.history {
		if match(e) {
			o.mu.Unlock()
			return e, nil
		}
	}
	return o.await(ctx, match)
}

// WaitReady waits until the guest has said READY.
func (o *Observer) WaitReady(ctx context.Context) error {
	o.mu.Lock()
	if o.ready {
		o.mu.Unlock()
		return nil
	}
	_, err := o.await(ctx, func(e Event) bool { return e.Kind == Ready })
	return annotate("wait for READY", err)
}

// WaitStat waits for a STAT line to come that match accepts.
func (o *Observer) WaitStat(ctx context.Context, match func(Stat) bool) (Stat, error) {
	o.mu.Lock()
	e, err := o.await(ctx, func(e Event) bool { return e.Kind == StatLine && match(e.Stat) })
	return e.Stat, annotate("wait for STAT", err)
}

// WaitBeats waits until each of the vCPUs 0 to cpus-1 has beaten n more times,
// on the named stream where one is named.
func (o *Observer) WaitBeats(ctx context.Context, stream string, cpus, n int) error {
	if cpus == 0 || n == 0 {
		return nil
	}
	left := make(map[int]int, cpus)
	for cpu := range cpus {
		left[cpu] = n
	}
	o.mu.Lock()
	_, err := o.await(ctx, func(e Event) bool {
		if e.Kind != Beat || (stream != "" && e.Stream != stream) || left[e.CPU] == 0 {
			return false
		}
		if left[e.CPU]--; left[e.CPU] == 0 {
			delete(left, e.CPU)
		}
		return len(left) == 0
	})
	return annotate("wait for heartbeats", err)
}

// await waits for an event to come.
// Precondition: o.mu is held; await unlocks it.
func (o *Observer) await(ctx context.Context, match func(Event) bool) (Event, error) {
	w := &waiter{match: match, found: make(chan Event, 1)}
	switch {
	case o.panics > 0:
		defer o.mu.Unlock()
		return Event{}, fmt.Errorf("%w\n%s", ErrPanic, o.tail())
	case o.allEnded():
		defer o.mu.Unlock()
		return Event{}, fmt.Errorf("%w\n%s", ErrEnded, o.tail())
	}
	o.waiters[w] = struct{}{}
	o.mu.Unlock()

	select {
	case e, ok := <-w.found:
		switch {
		case !ok:
			return Event{}, fmt.Errorf("%w\n%s", ErrEnded, o.Tail())
		case e.Kind == Panic:
			return Event{}, fmt.Errorf("%w\n%s", ErrPanic, o.Tail())
		}
		return e, nil
	case <-ctx.Done():
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.waiters, w)
		return Event{}, fmt.Errorf("%w\n%s", context.Cause(ctx), o.tail())
	}
}

// wake hands e to those who wait for it. A panic is for everyone.
// Precondition: o.mu is held.
func (o *Observer) wake(e Event) {
	for w := range o.waiters {
		if w.match(e) || e.Kind == Panic {
			delete(o.waiters, w)
			w.found <- e
		}
	}
}

// wakeEnded tells everyone who waits when the last stream has ended.
// Precondition: o.mu is held.
func (o *Observer) wakeEnded() {
	if !o.allEnded() {
		return
	}
	for w := range o.waiters {
		delete(o.waiters, w)
		close(w.found)
	}
}

// Precondition: o.mu is held.
func (o *Observer) allEnded() bool {
	for _, s := range o.streams {
		if !s.ended {
			return false
		}
	}
	return len(o.streams) > 0
}
