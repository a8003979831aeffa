package console

import (
	"bytes"
	"os"
	"sync"
	"time"
)

// lingerFor is how long the start of a line waits for its end: a prompt, which
// has none, is written then.
const lingerFor = 2 * time.Millisecond

// sink is one reader of the guest's output. A line that ends is written by the
// vCPU's own thread where the file takes it at once, so that it is seen without
// another thread having to be scheduled; the rest is written by a goroutine.
type sink struct {
	file   *os.File
	nowait nowait
	done   chan struct{} // closed when its goroutine has ended

	// The hub's lock guards what follows.
	ring    ring
	more    *sync.Cond // due or ending was set
	linger  *time.Timer
	due     bool // the goroutine is to write what is there
	writing bool // it does, without the lock
	idle    bool // everything that was put is written
	ending  bool // to end once everything is written
	failed  bool // the reader is gone
	dropped uint64
}

func newSink(f *os.File, mu *sync.Mutex) *sink {
	s := &sink{file: f, nowait: newNowait(f), done: make(chan struct{}), ring: newRing(ringSize), more: sync.NewCond(mu), idle: true}
	s.linger = time.AfterFunc(lingerFor, func() {
		mu.Lock()
		defer mu.Unlock()
		s.wake()
	})
	return s
}

// put adds output. It never blocks. Precondition: the hub's lock is held.
func (s *sink) put(p ...byte) {
	if s.ending || s.failed || len(p) == 0 {
		return
	}
	fresh := s.ring.count == 0
	for _, b := range p {
		if s.ring.put(b) {
			s.dropped++
		}
	}
	s.idle = false
	switch {
	case s.writing: // the goroutine comes to it
	case bytes.IndexByte(p, '\n') >= 0: // nor is a goroutine waited for that is due: on a busy host that takes a while
		first, second := s.ring.parts()
		s.ring.drop(s.nowait.write(first, second))
		if s.idle = s.ring.count == 0; s.idle {
			s.due = false
		} else {
			s.wake()
		}
	case fresh && !s.due:
		s.linger.Reset(lingerFor)
	}
}

// wake has the goroutine write what is there. Precondition: the hub's lock is held.
func (s *sink) wake() {
	s.due = true
	s.more.Signal()
}

// end has the goroutine write what is there, and then end. Precondition: the
// hub's lock is held.
func (s *sink) end() {
	s.ending = true
	s.more.Signal()
}

// write moves the ring's content to the file until it is told to end, or the
// reader is gone; then it closes the file, so that the hub stops reading it.
func (s *sink) write(h *Hub) {
	defer close(s.done)
	failed := s.pump(h)
	s.linger.Stop()
	h.mu.Lock()
	s.failed = failed
	h.forget(s)
	h.mu.Unlock()
	if failed {
		_ = h.closeFile(s.file) // it had its error
	}
}

func (s *sink) pump(h *Hub) (failed bool) {
	buf := make([]byte, 16<<10)
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		for s.ring.count == 0 || !s.due && !s.ending {
			if s.ring.count == 0 {
				s.idle, s.due = true, false
				h.quiet.Broadcast()
				if s.ending {
					return false
				}
			}
			s.more.Wait()
		}
		n := s.ring.peek(buf)
		s.ring.drop(n)
		s.writing = true
		h.mu.Unlock()
		_, err := s.file.Write(buf[:n])
		h.mu.Lock()
		s.writing = false
		if err != nil {
			return true
		}
	}
}
