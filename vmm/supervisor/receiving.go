package supervisor

import (
	"context"

	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// receiving describes a receiver for the API.
func (s *supervisor) receiving(context.Context) (api.Receiving, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listening == "" {
		return api.Receiving{}, api.Errorf(api.CodeBadState, "ask a machine that vmm receive has started", "%q does not wait for a guest", s.name.name)
	}
	r := api.Receiving{Listening: s.listening, Attempts: s.attempts, Failure: api.AsError(s.failure)}
	if s.proc != nil {
		r.Arriving = s.guest.Name
	}
	return r, nil
}

// attempted notes that a move to this receiver has begun.
func (s *supervisor) attempted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts++
	s.guest = vmm.Arriving{}
}

// failed notes why one came to nothing.
func (s *supervisor) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = err
}
