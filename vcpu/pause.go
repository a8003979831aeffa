package vcpu

import "context"

// Answer is what became of a Pause.
type Answer uint8

// The answers of Pause. After Held and TimedOut the request stands: Pause may be called again to wait on, or Resume to take it back.
const (
	Paused   Answer = iota + 1 // nothing runs, no access is half done: the state can be saved
	Held                       // every vCPU that has not answered waits for a missing page: it executes nothing, but cannot be saved yet
	TimedOut                   // the context ended first
)

// Pause stops the guest. It returns when every vCPU is parked, or when the context ends; the error is nil or ErrClosed.
func (s *Set) Pause(ctx context.Context) (Answer, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return TimedOut, ErrClosed
	}
	idle := s.idle
	for _, c := range s.cpus {
		if c.active {
			c.stop.Store(true)
			c.kick()
		}
	}
	s.mu.Unlock()
	select {
	case <-idle:
		return Paused, nil
	default:
	}
	select {
	case <-idle:
		return Paused, nil
	case <-s.quit:
		return TimedOut, ErrClosed
	case <-ctx.Done():
		return s.late(), nil
	}
}

// late says what keeps a Pause from being complete.
func (s *Set) late() Answer {
	s.mu.Lock()
	late := make([]int, 0, len(s.cpus))
	for i, c := range s.cpus {
		if c.active {
			late = append(late, i)
		}
	}
	s.mu.Unlock()
	if len(late) == 0 {
		return Paused
	}
	for _, i := range late {
		if s.cfg.Waiting == nil || !s.cfg.Waiting(i) {
			return TimedOut
		}
	}
	return Held
}

// Kick makes every running vCPU leave the guest and enter it again.
func (s *Set) Kick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.cpus {
		if c.active {
			c.kick()
		}
	}
}
