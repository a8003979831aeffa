package migration

import "fmt"

// targetInput is an event with what the machine must know of it.
type targetInput struct {
	event  targetEvent
	err    error // why, of the events that end a move
	left   bool  // AllPages: some are left to be pulled
	frames bool  // Commit: the source forwards what comes for the guest
}

// target decides what a target does. It is a pure value: no clock, no I/O.
//
// Invariants: actStart follows only gotRecorded; actDiscard never follows
// gotRecorded, and from Prepared on only follows gotTombstone or the source's
// own gotAbort.
type target struct {
	state    targetState
	pages    bool // all are here, but for what is to be pulled
	pull     bool // pages are missing
	whole    bool // they have all come before the guest started
	fetch    bool // all that is missing is wanted
	frames   bool // the source forwards what comes for the guest, and has not said that this was all
	hasState bool // likewise
	built    bool

	outcome Outcome // at the end
	cause   error   // of an end that is not Completed
	tell    bool    // in Fencing: tell the source afterwards
}

// done says whether the machine is at its end.
func (t *target) done() bool { return t.state >= targetCompleted }

// Step takes an event and returns what to do, in order. The error is an
// *IllegalError: then nothing has changed.
func (t *target) Step(in targetInput) ([]targetAction, error) {
	if t.done() {
		if in.event == gotReserve {
			return nil, t.illegal(in)
		}
		return nil, nil // what was under way ends, and what was on the wire arrives
	}
	switch in.event {
	case gotFailed, gotAbort, gotLinkLost, gotCancel:
		return t.end(in)
	case gotPulled, gotFetch, gotRejoined, gotEnded:
		return t.pulling(in)
	case gotFrames, gotDrained:
		return t.forwarded(in)
	}
	switch {
	case t.state == targetNew && in.event == gotReserve:
		return t.to(targetBuilding, actBuild)
	case t.state == targetBuilding && in.event == gotBuilt:
		t.built = true
		return t.to(targetReceiving, actSayReserved)
	case t.state == targetBuilding && in.event == gotBuildFailed:
		t.outcome, t.cause = OutcomeFailed, in.err
		return t.to(targetDiscarded, actSayRefused, actRemoveRecord, actEnd)
	case t.state == targetReceiving && in.event == gotRoundEnd && !t.pages:
		return t.to(targetReceiving, actAckRound)
	case t.state == targetReceiving && in.event == gotAllPages && !t.pages:
		t.pages, t.pull = true, in.left
		return t.complete()
	case t.state == targetReceiving && in.event == gotState && !t.hasState:
		t.hasState = true
		return t.complete()
	case t.state == targetRestoring && in.event == gotRestored:
		return t.to(targetPrepared, actSayPrepared)
	case t.state == targetPrepared && in.event == gotCommit:
		t.frames = in.frames
		return t.to(targetRecording, actRecord)
	case t.state == targetRecording && in.event == gotRecorded:
		return t.to(targetStarting, actStart)
	case t.state == targetRecording && in.event == gotRecordFailed:
		// It may have reached the disk all the same.
		return t.fence(in, true)
	case t.state == targetStarting && in.event == gotStarted:
		switch {
		case t.whole:
			t.pull = false
			return t.to(targetRunning, actSayRunning, actFilled, actSayPulled)
		case t.pull:
			return t.to(targetPulling, actSayRunning)
		}
		return t.to(targetRunning, actSayRunning)
	case t.state == targetStarting && in.event == gotStartFailed:
		t.outcome, t.cause = OutcomeLost, fmt.Errorf("%w: %w", ErrLost, in.err)
		return t.to(targetLost, actSayAbort, actEnd)
	case t.state == targetFencing && in.event == gotTombstone:
		return t.fenced()
	case t.state == targetFencing && in.event == gotTombstoneFailed:
		t.outcome, t.cause = OutcomeInDoubt, fmt.Errorf("%w: %w", ErrInDoubt, in.err)
		return t.to(targetUnfenced, actEnd)
	case t.state == targetRunning && in.event == gotRelease:
		t.outcome = OutcomeCompleted
		return t.to(targetCompleted, actRemoveRecord, actEnd)
	}
	return nil, t.illegal(in)
}

// pulling takes the events that concern missing pages.
func (t *target) pulling(in targetInput) ([]targetAction, error) {
	if in.event == gotEnded {
		if t.state != targetPulling && t.state != targetParted {
			return nil, nil
		}
		in.event = gotPulled
	}
	switch {
	case in.event == gotPulled && t.state == targetPulling:
		t.pull = false
		return t.to(targetRunning, actFilled, actSayPulled)
	case in.event == gotPulled && t.state == targetParted && t.pull:
		t.pull = false // the source learns of it when it comes back
		return t.to(targetParted, actFilled)
	case in.event == gotPulled && t.pull && t.state < targetRunning:
		t.whole = true
		return nil, nil
	case in.event == gotFetch && t.state == targetPulling:
		t.fetch = true
		return t.to(targetPulling, actSayFetch)
	case in.event == gotFetch:
		t.fetch = t.fetch || t.state == targetParted
		return nil, nil
	case in.event == gotRejoined && t.state == targetParted && !t.pull:
		return t.to(targetRunning, actSayMissing, actSayPulled)
	case in.event == gotRejoined && t.state == targetParted && t.fetch:
		return t.to(targetPulling, actSayMissing, actSayFetch)
	case in.event == gotRejoined && t.state == targetParted:
		return t.to(targetPulling, actSayMissing)
	}
	return nil, t.illegal(in)
}

// forwarded takes the events that concern packets which came for the guest at its source.
func (t *target) forwarded(in targetInput) ([]targetAction, error) {
	switch {
	case !t.frames || t.state != targetRunning && t.state != targetPulling && t.state != targetParted:
		return nil, t.illegal(in)
	case in.event == gotFrames:
		return t.to(t.state, actDeliver)
	}
	t.frames = false
	return t.to(t.state, actSayDelivered)
}

// complete begins the restore when all is here.
func (t *target) complete() ([]targetAction, error) {
	if !t.pages || !t.hasState {
		return nil, nil
	}
	return t.to(targetRestoring, actRestore)
}

// end takes the events that end a move in any state.
func (t *target) end(in targetInput) ([]targetAction, error) {
	tell := in.event == gotFailed || in.event == gotCancel
	switch t.state {
	case targetPrepared:
		if in.event != gotAbort {
			return t.fence(in, tell)
		}
		// The source says that it did not commit.
	case targetRecording, targetStarting, targetFencing:
		return nil, nil // what is under way decides
	case targetPulling:
		if in.event == gotCancel {
			return nil, nil
		}
		return t.to(targetParted, actPart)
	case targetParted:
		return nil, nil // it is known already
	case targetRunning:
		// The guest is ours whatever the source knows. The record stays: it may ask.
		if in.event == gotCancel {
			return nil, nil
		}
		t.outcome = OutcomeCompleted
		return t.to(targetCompleted, actEnd)
	}
	t.settle(in)
	acts := make([]targetAction, 0, 4)
	if tell && t.state != targetNew {
		acts = append(acts, actSayAbort)
	}
	if t.built {
		acts = append(acts, actDiscard)
	}
	return t.to(targetDiscarded, append(acts, actRemoveRecord, actEnd)...)
}

// fence gives up when the source may have committed.
func (t *target) fence(in targetInput, tell bool) ([]targetAction, error) {
	t.settle(in)
	t.tell = tell
	return t.to(targetFencing, actTombstone)
}

func (t *target) fenced() ([]targetAction, error) {
	if t.tell {
		return t.to(targetDiscarded, actSayAbort, actDiscard, actEnd)
	}
	return t.to(targetDiscarded, actDiscard, actEnd)
}

// settle notes how the move ends here.
func (t *target) settle(in targetInput) {
	t.outcome, t.cause = OutcomeFailed, in.err
	if in.event == gotCancel {
		t.outcome = OutcomeCancelled
	}
	if t.cause == nil {
		t.cause = fmt.Errorf("%w: %v", ErrProtocol, in.event)
	}
}

func (t *target) to(next targetState, acts ...targetAction) ([]targetAction, error) {
	t.state = next
	return acts, nil
}

func (t *target) illegal(in targetInput) error { return &IllegalError{State: t.state, Event: in.event} }
