package migration

import (
	"fmt"
	"time"
)

// sourceInput is an event with what the machine must know of it.
type sourceInput struct {
	event sourceEvent
	now   time.Duration // since the start
	err   error         // why, of the events that end a move
	// Counted, LastCounted: pages that are pending. Pushed: pages sent.
	pages uint64
	bytes uint64 // Pushed: of page payload
	round uint32 // RoundAck

	rehearsal time.Duration // Reserved
	canPull   bool          // Reserved: the target can start with pages missing
	forwards  bool          // Reserved: what comes for the guest can be forwarded
	diverging bool          // Counted: the guest was seen to write faster than the link takes
	save      time.Duration // Counted: forecast of pausing and saving
	roundTrip time.Duration // Counted
	slower    bool          // Counted: the guest was slowed down, or can be: it may not outrun the next round
	line      float64       // Counted: bytes a second that the last round can have, 0: as those before
}

// source decides what a source does. It is a pure value: no clock, no I/O.
//
// Invariant: once doCommit was emitted, doResume is emitted only by
// onUnstarted.
type source struct {
	state    sourceState
	mode     Mode
	keep     bool // a copy: the guest goes on here, nothing is committed
	wait     bool // once the guest is paused, until somebody continues the move
	forecast forecast

	round    int           // being sent, or to be sent next
	began    time.Duration // when it was
	pausedAt time.Duration
	bytes    uint64 // of the round
	acked    bool   // in Pushing: the ack came first
	prepared bool   // in Finishing: Prepared came first
	tracking bool
	paused   bool // it may be
	canPull  bool // the target can start with pages missing
	overdue  bool // the push has lasted too long
	pull     bool // pages are left for the target to pull
	forwards bool // what comes for the guest is forwarded, from the commit on
	draining bool // … and the target runs it, and has not got all of that

	outcome Outcome // at the end
	cause   error   // of an end that is not Completed
}

func newSource(mode Mode, keep bool, limit time.Duration) source {
	return source{mode: mode, keep: keep, forecast: forecast{limit: limit}}
}

// done says whether the machine is at its end.
func (s *source) done() bool { return s.state >= sourceCompleted }

// Step takes an event and returns what to do, in order. The error is an
// *IllegalError: then nothing has changed.
func (s *source) Step(in sourceInput) ([]sourceAction, error) {
	switch {
	case s.done():
		// What was under way ends, and what was on the wire arrives.
		if in.event == onStart {
			return nil, s.illegal(in)
		}
		return nil, nil
	case s.state == sourceCommitted || s.state == sourceInDoubt:
		return s.afterCommit(in)
	case s.state == sourceSealing:
		return s.sealing(in)
	case s.state == sourcePulling || s.state == sourceRejoining:
		return s.pulling(in)
	case s.state == sourceDraining:
		return s.drain(in)
	case in.event == onTimeout && s.mode.mayPull() && s.state > sourceNew && s.state < sourcePausing && (s.canPull || s.state < sourceOffering):
		// Out of time is no reason to give up, but to stop pushing.
		s.overdue = true
		return s.to(s.state, doCut)
	}
	switch in.event {
	case onRefused, onAbort, onFailed, onPauseFailed, onLinkLost:
		return s.unwind(OutcomeFailed, in)
	case onCancel, onTimeout, onGiveUp:
		return s.unwind(OutcomeCancelled, in)
	}
	switch s.state {
	case sourceNew:
		if in.event == onStart {
			return s.to(sourceReserving, doReserve)
		}
	case sourceReserving:
		if in.event == onReserved {
			s.forecast.rehearsal, s.canPull, s.forwards = in.rehearsal, in.canPull, in.forwards
			if s.mode.mustPull() && !s.canPull {
				return s.unwind(OutcomeFailed, sourceInput{event: in.event, err: ErrNoPull})
			}
			return s.to(sourceOffering, doOffer)
		}
	case sourceOffering:
		if in.event == onOffered {
			if s.mode.atOnce() {
				s.pull = s.mode.mustPull()
				return s.pause(in)
			}
			s.tracking = true
			return s.to(sourceCounting, doCount)
		}
	case sourceCounting, sourcePushing, sourceAcking:
		return s.push(in)
	default:
		return s.stop(in)
	}
	return nil, s.illegal(in)
}

// push is what happens while the guest runs and its memory is sent.
func (s *source) push(in sourceInput) ([]sourceAction, error) {
	switch {
	case s.state == sourceCounting && in.event == onCounted:
		s.forecast.save, s.forecast.line = in.save, in.line
		if in.roundTrip > 0 {
			s.forecast.roundTrip = in.roundTrip
		}
		if s.round == 0 {
			return s.send(in)
		}
		if s.overdue && !s.canPull {
			return s.unwind(OutcomeCancelled, sourceInput{event: onTimeout, err: ErrTimeout})
		}
		stop := s.forecast.stop(s.round, in.pages)
		switch {
		case !s.canPull:
		case s.mode == Hybrid:
			s.pull = in.pages > tinyPages
		case !s.forecast.tiny(in.pages):
			s.pull = s.overdue || s.mode == Auto && !stop && !in.slower && (in.diverging || s.forecast.diverges(in.pages))
		}
		if stop || s.pull {
			return s.pause(in)
		}
		return s.send(in)
	case s.state == sourcePushing && in.event == onPushed:
		s.bytes = in.bytes
		if s.acked {
			return s.counted(in)
		}
		return s.to(sourceAcking)
	case in.event == onRoundAck && s.state != sourceCounting && !s.acked && int(in.round) == s.round:
		if s.state == sourcePushing {
			// The end of the round left already; the event that says so is on its way.
			s.acked = true
			return nil, nil
		}
		return s.counted(in)
	}
	return nil, s.illegal(in)
}

// send begins a round.
func (s *source) send(in sourceInput) ([]sourceAction, error) {
	s.began, s.acked = in.now, false
	return s.to(sourcePushing, doPush)
}

// counted ends a round and has the pages counted that got dirty meanwhile.
func (s *source) counted(in sourceInput) ([]sourceAction, error) {
	s.forecast.sent(s.bytes, in.now-s.began)
	s.round++
	return s.to(sourceCounting, doCount)
}

func (s *source) pause(in sourceInput) ([]sourceAction, error) {
	s.pausedAt, s.paused = in.now, true
	return s.to(sourcePausing, doPause)
}

// stop is what happens from the kick to the commit.
func (s *source) stop(in sourceInput) ([]sourceAction, error) {
	switch {
	case s.state == sourcePausing && in.event == onPaused && s.wait:
		return s.to(sourceWaiting, doWait)
	case s.state == sourcePausing && in.event == onPaused:
		return s.to(sourceSaving, doSave)
	case s.state == sourceWaiting && in.event == onContinue:
		s.pausedAt = in.now // nobody forecast the wait
		return s.to(sourceSaving, doSave)
	case s.state == sourceSaving && in.event == onSaved:
		s.tracking = true
		return s.to(sourceLastCount, doLastCount)
	case s.state == sourceLastCount && in.event == onLastCounted:
		if s.pull {
			return s.to(sourceFinishing, doSwitch)
		}
		if !s.mode.atOnce() && s.forecast.abandon(in.now-s.pausedAt, in.pages) {
			switch {
			case s.canPull && s.mode != Precopy:
				s.pull = true // rather than run on and try again
				return s.to(sourceFinishing, doSwitch)
			case !s.wait: // what somebody prepared while the guest stood still takes place
				s.paused = false
				s.began, s.acked = in.now, false
				return s.to(sourcePushing, doResume, doPush)
			}
		}
		return s.to(sourceFinishing, doFinish)
	case s.state == sourceFinishing && in.event == onFinished:
		s.pull = s.pull && in.pages > 0 // a guest may have nothing that could be left
		if s.prepared {
			return s.commit()
		}
		return s.to(sourcePreparing)
	case s.state == sourceFinishing && in.event == onPrepared && !s.prepared:
		s.prepared = true // the event that all is sent is on its way
		return nil, nil
	case s.state == sourcePreparing && in.event == onPrepared:
		return s.commit()
	}
	return nil, s.illegal(in)
}

func (s *source) commit() ([]sourceAction, error) {
	if s.keep {
		return s.to(sourceSealing, doResume, doUntrack, doSeal)
	}
	if s.forwards {
		return s.to(sourceCommitted, doCommit, doForward)
	}
	return s.to(sourceCommitted, doCommit)
}

// sealing is the end of a copy: the guest runs on already.
func (s *source) sealing(in sourceInput) ([]sourceAction, error) {
	s.paused, s.tracking = false, false
	switch in.event {
	case onSealed:
		s.outcome = OutcomeCompleted
		return s.to(sourceCompleted, doEnd)
	case onFailed, onLinkLost:
		return s.unwind(OutcomeFailed, in)
	case onCancel, onTimeout, onGiveUp:
		return s.unwind(OutcomeCancelled, in)
	}
	return nil, s.illegal(in)
}

// afterCommit is what happens once the guest may be running at the target.
func (s *source) afterCommit(in sourceInput) ([]sourceAction, error) {
	switch in.event {
	case onRunning, onStarted:
		if in.event == onStarted && s.state != sourceInDoubt {
			return nil, s.illegal(in)
		}
		return s.running()
	case onUnstarted:
		if s.state != sourceInDoubt {
			return nil, s.illegal(in)
		}
		s.outcome, s.cause = OutcomeFailed, ErrNotStarted
		return s.to(sourceUnwound, doResume, doUntrack, doEnd)
	case onLost:
		if s.state != sourceInDoubt {
			return nil, s.illegal(in)
		}
		// What is here is older than what was killed there: it is not resumed.
		s.outcome, s.cause = OutcomeLost, ErrLost
		return s.to(sourceLost, doUntrack, doEnd)
	case onUnknown:
		if s.state != sourceInDoubt {
			return nil, s.illegal(in)
		}
		return s.to(sourceInDoubt, doAskAgain)
	case onGiveUp:
		s.outcome, s.cause = OutcomeInDoubt, ErrInDoubt
		return s.to(sourceUndecided, doInterrupt, doUntrack, doEnd)
	case onLinkLost, onAbort, onFailed:
		// What the peer says now is no proof; only an answer is.
		if s.state == sourceInDoubt {
			return nil, nil
		}
		return s.to(sourceInDoubt, doInterrupt, doAsk)
	case onCancel, onTimeout:
		return nil, nil // too late
	}
	return nil, s.illegal(in)
}

// running is what follows when the guest is known to run at the target.
func (s *source) running() ([]sourceAction, error) {
	var acts []sourceAction
	if s.forwards {
		acts = append(acts, doDrain)
	}
	joined := s.state == sourceCommitted
	s.draining = s.forwards && joined
	switch {
	case s.pull && joined:
		return s.to(sourcePulling, append(acts, doServe)...)
	case s.pull:
		return s.to(sourceRejoining, append(acts, doPart, doRejoin)...)
	case s.draining:
		return s.to(sourceDraining, acts...)
	case joined:
		acts = append(acts, doRelease)
	}
	s.outcome = OutcomeCompleted
	return s.to(sourceCompleted, append(acts, doEnd)...)
}

// drain is what happens while the guest runs at the target with all of its memory, and packets
// that came for it here are on their way. Whatever becomes of them, the move is complete. The log goes with the guest's memory: to switch
// it off takes 2.5 ms a GiB.
func (s *source) drain(in sourceInput) ([]sourceAction, error) {
	switch in.event {
	case onDelivered, onUndelivered, onLinkLost, onAbort, onFailed, onGiveUp:
		return s.completed()
	case onCancel, onTimeout:
		return nil, nil // too late
	}
	return nil, s.illegal(in)
}

func (s *source) completed() ([]sourceAction, error) {
	s.outcome = OutcomeCompleted
	return s.to(sourceCompleted, doRelease, doEnd)
}

// pulling is what happens while the guest runs at the target and pages of it are
// here alone. There is no way back.
func (s *source) pulling(in sourceInput) ([]sourceAction, error) {
	joined := s.state == sourcePulling
	switch in.event {
	case onPulled:
		if s.draining {
			return s.to(sourceDraining)
		}
		return s.completed()
	case onDelivered, onUndelivered:
		if in.event == onDelivered && joined && !s.draining {
			return nil, s.illegal(in)
		}
		s.draining = false
		return nil, nil
	case onFetch:
		if !joined {
			return nil, s.illegal(in)
		}
		return s.to(sourcePulling, doFetch)
	case onLinkLost, onAbort, onFailed:
		if !joined {
			return nil, nil
		}
		s.draining = false // a link that is made anew is for pages
		return s.to(sourceRejoining, doPart, doRejoin)
	case onRejoined:
		if joined {
			return nil, s.illegal(in)
		}
		return s.to(sourcePulling, doServe)
	case onNotJoined:
		if joined {
			return nil, s.illegal(in)
		}
		return s.to(sourceRejoining, doRejoinAgain)
	case onLost:
		s.outcome, s.cause = OutcomeLost, ErrTargetLost
		return s.to(sourceLost, doPart, doUntrack, doEnd)
	case onGiveUp:
		s.outcome, s.cause = OutcomeInDoubt, ErrInDoubt
		return s.to(sourceUndecided, doPart, doUntrack, doEnd)
	case onCancel, onTimeout:
		return nil, nil // too late
	}
	return nil, s.illegal(in)
}

// unwind ends a move that has not been committed.
func (s *source) unwind(o Outcome, in sourceInput) ([]sourceAction, error) {
	s.outcome, s.cause = o, in.err
	if s.cause == nil {
		s.cause = fmt.Errorf("%w: %v", ErrProtocol, in.event)
	}
	acts := make([]sourceAction, 0, 5)
	if s.state != sourceNew {
		acts = append(acts, doAbort, doInterrupt)
	}
	if s.paused {
		acts = append(acts, doResume)
	}
	if s.tracking {
		acts = append(acts, doUntrack)
	}
	return s.to(sourceUnwound, append(acts, doEnd)...)
}

func (s *source) to(next sourceState, acts ...sourceAction) ([]sourceAction, error) {
	s.state = next
	return acts, nil
}

func (s *source) illegal(in sourceInput) error { return &IllegalError{State: s.state, Event: in.event} }
