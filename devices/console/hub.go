// Package console joins a guest's serial line with the outside: what the guest
// sends goes to every sink, what people type goes to the guest.
//
// A vCPU never waits for a reader: each sink has a ring of bounded size, and
// one that reads too slowly loses the oldest bytes, which are counted. What is
// typed faster than the guest reads waits in one ring of its own, and then in
// the pipe or terminal that it comes from.
package console

import (
	"errors"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	// ringSize is how far a sink may fall behind, in bytes.
	ringSize = 1 << 20
	// typedSize is how much typing waits for the guest here, in bytes.
	typedSize = 64 << 10
	// flushWithin bounds how long Close waits for sinks that do not read.
	flushWithin = time.Second
)

// Input takes what is typed and returns how much there was room for. When it
// has room again, Hub.Room is called.
type Input interface{ Feed(p []byte) int }

// Hub is the console of one guest.
type Hub struct {
	fed chan struct{} // closed when the goroutine that feeds has ended

	mu      sync.Mutex // guards what follows, and the sinks
	sinks   []*sink
	files   []*os.File // open ones, of sinks and sources
	quiet   *sync.Cond // a sink became idle or is gone
	dropped uint64     // by sinks that are gone

	typed   ring
	input   Input
	feeding bool       // a call of Feed is in progress, without the lock
	rooms   uint64     // how often the input has said that it has room
	changed *sync.Cond // typed, input, feeding, rooms, or closed changed, or a sink failed
	closed  bool
}

// New returns a hub that writes to out and reads from in; either may be nil.
// It owns both.
func New(out, in *os.File) *Hub {
	h := &Hub{fed: make(chan struct{}), typed: newRing(typedSize)}
	h.quiet, h.changed = sync.NewCond(&h.mu), sync.NewCond(&h.mu)
	h.mu.Lock()
	defer h.mu.Unlock()
	if out != nil {
		h.addSink(out)
	}
	if in != nil {
		h.files = append(h.files, in)
		go func() {
			h.read(in, nil)
			h.closeFile(in)
		}()
	}
	go h.feed()
	return h
}

// Attach adds a connection, which the hub then owns: it sees what the guest
// sends from now on and types to it, until it is closed at the other end or the
// hub is.
func (h *Hub) Attach(f *os.File) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		f.Close()
		return
	}
	s := h.addSink(f)
	go func() {
		h.read(f, s)
		h.mu.Lock()
		s.end()
		h.mu.Unlock()
		<-s.done
		h.closeFile(f)
	}()
}

// SetInput says which device gets what is typed; with nil it waits. When it
// returns, the device before gets nothing more: its state can be saved.
func (h *Hub) SetInput(in Input) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.input = in
	h.rooms++
	h.changed.Broadcast()
	for h.feeding {
		h.changed.Wait()
	}
}

// Room says that the device may take more input. It is called on a vCPU's thread.
func (h *Hub) Room() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rooms++
	h.changed.Broadcast()
}

// Put sends one byte of the guest to every sink. It is called on a vCPU's
// thread, and neither blocks nor allocates.
func (h *Hub) Put(b byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.sinks {
		s.put(b)
	}
}

// Write is Put for several bytes: it takes all of them, at once, and never fails.
func (h *Hub) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.sinks {
		s.put(p...)
	}
	return len(p), nil
}

// Dropped counts the bytes that slow sinks have lost.
func (h *Hub) Dropped() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.dropped
	for _, s := range h.sinks {
		n += s.dropped
	}
	return n
}

// Drain waits until every sink has got what was put, at most for within. It
// tells whether that came to pass.
func (h *Hub) Drain(within time.Duration) bool {
	late := false // guarded by mu
	timer := time.AfterFunc(within, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		late = true
		h.quiet.Broadcast()
	})
	defer timer.Stop()
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		if !slices.ContainsFunc(h.sinks, func(s *sink) bool { return !s.idle }) {
			return true
		}
		for _, s := range h.sinks {
			if !s.idle {
				s.wake()
			}
		}
		if late {
			return false
		}
		h.quiet.Wait()
	}
}

// Close writes out what the sinks still wait for, for one second at most, and
// closes every file. Calling it again does nothing. A goroutine that is stuck
// in a file without deadlines (a terminal) ends with the process.
func (h *Hub) Close() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	for _, s := range h.sinks {
		s.end()
	}
	h.changed.Broadcast()
	h.mu.Unlock()
	h.Drain(flushWithin)
	<-h.fed
	h.mu.Lock()
	files := slices.Clone(h.files)
	h.mu.Unlock()
	var errs []error
	for _, f := range files {
		errs = append(errs, h.closeFile(f))
	}
	return errors.Join(errs...)
}

// closeFile closes a file, once.
func (h *Hub) closeFile(f *os.File) error {
	h.mu.Lock()
	i := slices.Index(h.files, f)
	if i >= 0 {
		h.files = slices.Delete(h.files, i, i+1)
	}
	h.mu.Unlock()
	if i < 0 {
		return nil
	}
	return f.Close()
}

// addSink wants mu held.
func (h *Hub) addSink(f *os.File) *sink {
	s := newSink(f, &h.mu)
	h.sinks = append(h.sinks, s)
	h.files = append(h.files, f)
	go s.write(h)
	return s
}

// forget takes a sink out. Precondition: mu is held.
func (h *Hub) forget(s *sink) {
	h.sinks = slices.DeleteFunc(h.sinks, func(o *sink) bool { return o == s })
	h.dropped += s.dropped
	h.quiet.Broadcast()
	h.changed.Broadcast()
}
