package supervisor

import (
	"context"
	"os"

	"github.com/ferryvmm/ferry/internal/ipc"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// maxReports is how many reports wait for whoever asked for a move; the oldest goes first.
const maxReports = 64

// transit is a move or a snapshot: how far it has come.
type transit struct {
	moving  api.Moving // guarded by supervisor.mu
	parted  bool       // it goes on without who asked for it; guarded by supervisor.mu
	reports chan migration.Progress
}

// embark begins a move or a snapshot: one at a time. Undone by disembark.
func (s *supervisor) embark(target, mode string) (*transit, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.transit != nil && s.transit.moving.Active {
		return nil, api.Errorf(api.CodeBadState, "wait until it has ended, or cancel it: vmm migrate "+s.name.name+" --cancel", "%q is being moved or saved already", s.name.name)
	}
	s.transit = &transit{
		moving:  api.Moving{Active: true, Target: target, Mode: mode},
		reports: make(chan migration.Progress, maxReports),
	}
	return s.transit, nil
}

// disembark notes that a move or a snapshot is over.
func (s *supervisor) disembark(t *transit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.moving.Active = false
}

// conclude tells how a move or a snapshot ended, or that it goes on without who asked for it.
func (s *supervisor) conclude(t *transit, r api.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.moving.Result = &r
	s.events.tell(s.eventLocked(api.Event{Kind: api.EventResult, Result: &r}))
}

// moving describes the move or snapshot under way, or the last one.
func (s *supervisor) moving(context.Context) (api.Moving, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.transit == nil {
		return api.Moving{}, nil
	}
	return s.transit.moving, nil
}

// carry has the machine move its guest, and tells how that ended before anything else becomes of the machine.
func (s *supervisor) carry(ctx context.Context, t *transit, m vmm.Migrate, out *vmm.Outcome, files []*os.File) error {
	s.telling.RLock()
	defer s.telling.RUnlock()
	_, err := s.call(ctx, vmm.MethodMigrate, m, out, files...)
	if err == nil {
		s.conclude(t, toResult(*out))
	}
	return err
}

// transfer runs a move or a snapshot, reporting its progress on stream. It
// returns when its outcome is known: for a guest that left, when its machine
// and all that belongs to it are gone; for one in doubt, after the patience of
// contract.md, while the machine goes on asking; for a guest whose memory stays
// here, when it runs at its target.
func (s *supervisor) transfer(t *transit, stream *api.Stream, move func(context.Context, *vmm.Outcome) error) (api.Result, error) {
	type ended struct {
		outcome vmm.Outcome
		err     error
	}
	done := make(chan ended, 1)
	go func() {
		var e ended
		// The move goes on when whoever asked for it goes away.
		e.err = move(context.Background(), &e.outcome)
		s.disembark(t)
		done <- e
	}()
	for {
		select {
		case p := <-t.reports:
			_ = stream.Progress(toProgress(p))
			if r, ok := parting(p); ok {
				return r, nil
			}
		case e := <-done:
			for len(t.reports) > 0 {
				_ = stream.Progress(toProgress(<-t.reports))
			}
			if e.err != nil {
				return api.Result{}, e.err
			}
			if e.outcome.Left {
				<-s.finished // the guest has left: so does all that is its own
			}
			return toResult(e.outcome), nil
		}
	}
}

// parting is the result of a move that goes on without who asked for it: of a
// guest whose memory stays here, or of one in doubt.
func parting(p migration.Progress) (api.Result, bool) {
	switch {
	case p.Serving != nil:
		return toResult(vmm.Outcome{Result: *p.Serving}), true
	case p.Undecided:
		return inDoubt(), true
	}
	return api.Result{}, false
}

// noteProgress passes a report of the machine on. It waits for nobody.
func (s *supervisor) noteProgress(r *ipc.Request) error {
	var p migration.Progress
	if err := r.Decode(&p); err != nil {
		return err
	}
	s.notePhase(p.Phase)
	s.mu.Lock()
	t := s.transit
	if t == nil || !t.moving.Active { // a guest arrives
		s.mu.Unlock()
		return nil
	}
	now := toProgress(p)
	t.moving.Progress = &now
	s.events.tell(s.eventLocked(api.Event{Kind: api.EventProgress, Progress: &now}))
	result, parts := parting(p)
	first := parts && !t.parted
	t.parted = t.parted || parts
	s.mu.Unlock()
	if first {
		s.conclude(t, result)
	}
	select {
	case t.reports <- p:
		return nil
	default:
	}
	select { // nobody reads: the newest counts
	case <-t.reports:
	default:
	}
	t.reports <- p // there is room: only this goroutine writes
	return nil
}
