package supervisor

// A receiver has the machine process of its next guest ready, confined and idle: to start one takes 10 ms of each move.

// prepare starts the process that waits for a guest. What it cannot do now launch tries again, and tells.
func (s *supervisor) prepare() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spare != nil {
		return
	}
	p, err := spawn(s.name, s.logFile, s.log, s.confinement, s.serveMachine)
	if err != nil {
		s.log.Info("no machine process is ready for a guest", "error", err)
		return
	}
	s.spare = p
}

// takeSpare returns the process that waits, nil if there is none any more. Precondition: mu is held.
func (s *supervisor) takeSpare() *process {
	p := s.spare
	s.spare = nil
	if p == nil {
		return nil
	}
	select {
	case <-p.gone: // somebody ended it
		p.conn.Close()
		return nil
	default:
		return p
	}
}

// dismiss ends the process that waits: no guest will come.
func (s *supervisor) dismiss() {
	s.mu.Lock()
	p := s.takeSpare()
	s.mu.Unlock()
	if p != nil {
		p.kill()
		p.end()
	}
}
