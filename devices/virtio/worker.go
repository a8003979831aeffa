package virtio

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/ferryvmm/ferry/internal/direct"
)

// Waiter is what a worker waits for between pieces of work.
type Waiter interface {
	// Wait returns when there may be work, or when Wake was called since the
	// last Wait.
	Wait()
	// Wake ends a Wait, the one going on or the next.
	Wake()
}

// Worker does one kind of work of a device on a goroutine of its own, which stays
// on one thread: between threads its work would lose the caches and its place
// among those that the kernel wakes. It is made at rest. Its methods may be called from any goroutine but its own.
type Worker struct {
	waiter Waiter
	step   func() (more bool)
	arm    func() (more bool) // for what ends a wait; nil: step does it
	look   look
	first  bool // the kernel runs it before others

	mu      sync.Mutex // guards the next three; never held while working or waiting
	changed *sync.Cond
	wanted  mode
	is      mode
}

// mode is what a worker does, or should do.
type mode int

const (
	resting mode = iota
	working
	stopped
)

// NewWorker starts a worker at rest. step does a piece of work and tells whether
// there is more; it must be short, since nothing interrupts it.
func NewWorker(w Waiter, step func() (more bool)) *Worker {
	return newWorker(&Worker{waiter: w, step: step})
}

// NewLooker is NewWorker for work whose waits are often short: before a wait it
// looks for work a little longer, which spares the driver's exit and the wake. How long
// adapts to how long it has waited lately. step asks nobody to end a wait; arm does, and tells
// whether there is more already.
func NewLooker(w Waiter, step, arm func() (more bool)) *Worker {
	return newWorker(&Worker{waiter: w, step: step, arm: arm})
}

// NewFirst is NewWorker for work of a short time that the guest waits for at a standstill: the kernel runs it before
// others, see direct.Thread.
func NewFirst(w Waiter, step func() (more bool)) *Worker {
	return newWorker(&Worker{waiter: w, step: step, first: true})
}

func newWorker(k *Worker) *Worker {
	k.changed = sync.NewCond(&k.mu)
	go k.run()
	return k
}

func (w *Worker) run() {
	runtime.LockOSThread() // until the goroutine ends
	if w.first {
		direct.Thread()
	}
	for more := true; w.enter(); {
		if !more {
			w.wait()
			more = true
			continue // rest, if that was why the wait ended
		}
		more = w.step()
	}
}

// wait returns when there may be work. What it finds itself it has begun.
func (w *Worker) wait() {
	if w.arm == nil {
		w.waiter.Wait()
		return
	}
	if w.look.found(w.step) || w.arm() {
		return
	}
	w.waiter.Wait()
	w.look.learn()
}

// enter blocks while the worker is to rest. It is false when it is to stop.
func (w *Worker) enter() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		if w.is != w.wanted {
			w.is = w.wanted
			w.changed.Broadcast()
		}
		switch w.is {
		case working:
			return true
		case stopped:
			return false
		}
		w.changed.Wait()
	}
}

// Resume lets it work, beginning with a step.
func (w *Worker) Resume() { w.ask(working) }

// Quiesce returns when it is at rest. When ctx ends first the error says so, and
// it will rest as soon as its step is done.
func (w *Worker) Quiesce(ctx context.Context) error {
	w.ask(resting)
	if !w.await(ctx, resting) {
		return fmt.Errorf("a device is busy: %w", context.Cause(ctx))
	}
	return nil
}

// Stop ends the worker and waits until it has ended.
func (w *Worker) Stop() {
	w.ask(stopped)
	w.await(context.Background(), stopped)
}

// ask sets what the worker should do. A stopped one stays so.
func (w *Worker) ask(m mode) {
	w.mu.Lock()
	if w.wanted != stopped {
		w.wanted = m
		w.changed.Broadcast()
	}
	w.mu.Unlock()
	w.waiter.Wake()
}

// await waits until the worker has reached m, or ended.
func (w *Worker) await(ctx context.Context, m mode) bool {
	defer context.AfterFunc(ctx, func() {
		w.mu.Lock() // so that no waiter is between its check and its wait
		defer w.mu.Unlock()
		w.changed.Broadcast()
	})()
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.is != m && w.is != stopped {
		if ctx.Err() != nil {
			return false
		}
		w.changed.Wait()
	}
	return true
}
