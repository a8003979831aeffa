package migration

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sourceAt makes a source that came to a state in the shortest way.
func sourceAt(t testing.TB, want sourceState, mode Mode, keep bool) source {
	t.Helper()
	s := newSource(mode, keep, 50*time.Millisecond)
	script := []sourceEvent{onStart, onReserved, onOffered, onCounted, onPushed, onRoundAck, onCounted,
		onPaused, onSaved, onLastCounted, onFinished, onPrepared}
	if mode == StopCopy {
		script = slices.Delete(script, 3, 7)
	}
	if want == sourcePulling || want == sourceRejoining || want == sourceLost {
		s.mode = Postcopy
		script = append(slices.Delete(script, 3, 7), onRunning)
	}
	if want == sourceDraining {
		script = append(script, onRunning)
	}
	if s.wait = want == sourceWaiting; s.wait {
		script = slices.Insert(script, slices.Index(script, onPaused)+1, onContinue)
	}
	switch want {
	case sourceRejoining:
		script = append(script, onLinkLost)
	case sourceLost:
		script = append(script, onLinkLost, onLost)
	case sourceInDoubt:
		script = append(script, onLinkLost)
	case sourceUndecided:
		script = append(script, onGiveUp)
	case sourceUnwound:
		script = append(script[:3:3], onCancel)
	case sourceCompleted:
		if keep {
			script = append(script, onSealed)
		} else {
			script = append(script, onRunning)
		}
	}
	for _, e := range script {
		if s.state == want {
			return s
		}
		if _, err := s.Step(sourceInput{event: e, err: errors.New("why"), canPull: true, forwards: want == sourceDraining, pages: uint64(len(script))}); err != nil {
			t.Fatalf("on the way to %v: %v", want, err)
		}
	}
	if s.state != want {
		t.Fatalf("got to %v; want %v", s.state, want)
	}
	return s
}

// TestSourceTransitions has every event in every state.
func TestSourceTransitions(t *testing.T) {
	type step struct {
		to   sourceState
		acts []sourceAction
	}
	// What ends a move before the commit, in states in which that leaves the guest paused, tracked, both or neither.
	unwinding := func(acts ...sourceAction) map[sourceEvent]step {
		m := map[sourceEvent]step{}
		for _, e := range []sourceEvent{onRefused, onAbort, onFailed, onPauseFailed, onLinkLost, onCancel, onTimeout, onGiveUp} {
			m[e] = step{sourceUnwound, append(append([]sourceAction{doAbort, doInterrupt}, acts...), doEnd)}
		}
		return m
	}
	with := func(m map[sourceEvent]step, e sourceEvent, to sourceState, acts ...sourceAction) map[sourceEvent]step {
		m[e] = step{to, acts}
		return m
	}
	ends := func(s sourceState) map[sourceEvent]step {
		m := map[sourceEvent]step{}
		for e := onStart + 1; e < sourceEvents; e++ {
			m[e] = step{s, nil}
		}
		return m
	}
	fresh := map[sourceEvent]step{onStart: {sourceReserving, []sourceAction{doReserve}}}
	for _, e := range []sourceEvent{onRefused, onAbort, onFailed, onPauseFailed, onLinkLost, onCancel, onTimeout, onGiveUp} {
		fresh[e] = step{sourceUnwound, []sourceAction{doEnd}}
	}
	doubt := map[sourceEvent]step{
		onRunning: {sourceCompleted, []sourceAction{doEnd}},
		onStarted: {sourceCompleted, []sourceAction{doEnd}}, onUnstarted: {sourceUnwound, []sourceAction{doResume, doUntrack, doEnd}},
		onLost:    {sourceLost, []sourceAction{doUntrack, doEnd}},
		onUnknown: {sourceInDoubt, []sourceAction{doAskAgain}}, onGiveUp: {sourceUndecided, []sourceAction{doInterrupt, doUntrack, doEnd}},
		onLinkLost: {to: sourceInDoubt}, onAbort: {to: sourceInDoubt}, onFailed: {to: sourceInDoubt}, onCancel: {to: sourceInDoubt}, onTimeout: {to: sourceInDoubt},
	}
	committed := map[sourceEvent]step{
		onRunning:  {sourceCompleted, []sourceAction{doRelease, doEnd}},
		onLinkLost: {sourceInDoubt, []sourceAction{doInterrupt, doAsk}}, onAbort: {sourceInDoubt, []sourceAction{doInterrupt, doAsk}},
		onFailed: {sourceInDoubt, []sourceAction{doInterrupt, doAsk}}, onGiveUp: {sourceUndecided, []sourceAction{doInterrupt, doUntrack, doEnd}},
		onCancel: {to: sourceCommitted}, onTimeout: {to: sourceCommitted},
	}
	sealing := map[sourceEvent]step{
		onSealed: {sourceCompleted, []sourceAction{doEnd}},
		onFailed: {sourceUnwound, []sourceAction{doAbort, doInterrupt, doEnd}}, onLinkLost: {sourceUnwound, []sourceAction{doAbort, doInterrupt, doEnd}},
		onCancel: {sourceUnwound, []sourceAction{doAbort, doInterrupt, doEnd}}, onTimeout: {sourceUnwound, []sourceAction{doAbort, doInterrupt, doEnd}},
		onGiveUp: {sourceUnwound, []sourceAction{doAbort, doInterrupt, doEnd}},
	}
	early := with(unwinding(doUntrack), onPushed, sourceAcking)
	early[onRoundAck] = step{to: sourcePushing}
	finishing := with(unwinding(doResume, doUntrack), onFinished, sourcePreparing)
	finishing[onPrepared] = step{to: sourceFinishing}
	pulled := step{sourceCompleted, []sourceAction{doRelease, doEnd}}
	dead := step{sourceLost, []sourceAction{doPart, doUntrack, doEnd}}
	left := step{sourceUndecided, []sourceAction{doPart, doUntrack, doEnd}}
	parted := step{sourceRejoining, []sourceAction{doPart, doRejoin}}
	pulling := map[sourceEvent]step{
		onPulled: pulled, onLost: dead, onGiveUp: left, onLinkLost: parted, onAbort: parted, onFailed: parted,
		onFetch: {sourcePulling, []sourceAction{doFetch}}, onCancel: {to: sourcePulling}, onTimeout: {to: sourcePulling},
	}
	rejoining := map[sourceEvent]step{
		onPulled: pulled, onLost: dead, onGiveUp: left, onLinkLost: {to: sourceRejoining}, onAbort: {to: sourceRejoining}, onFailed: {to: sourceRejoining},
		onRejoined: {sourcePulling, []sourceAction{doServe}}, onNotJoined: {sourceRejoining, []sourceAction{doRejoinAgain}},
		onCancel: {to: sourceRejoining}, onTimeout: {to: sourceRejoining},
		onDelivered: {to: sourceRejoining}, onUndelivered: {to: sourceRejoining},
	}
	pulling[onUndelivered] = step{to: sourcePulling}
	draining := map[sourceEvent]step{onCancel: {to: sourceDraining}, onTimeout: {to: sourceDraining}}
	for _, e := range []sourceEvent{onDelivered, onUndelivered, onLinkLost, onAbort, onFailed, onGiveUp} {
		draining[e] = pulled
	}
	table := map[sourceState]map[sourceEvent]step{
		sourceNew:       fresh,
		sourceReserving: with(unwinding(), onReserved, sourceOffering, doOffer),
		sourceOffering:  with(unwinding(), onOffered, sourceCounting, doCount),
		sourceCounting:  with(unwinding(doUntrack), onCounted, sourcePushing, doPush),
		sourcePushing:   early,
		sourceAcking:    with(unwinding(doUntrack), onRoundAck, sourceCounting, doCount),
		sourcePausing:   with(unwinding(doResume, doUntrack), onPaused, sourceSaving, doSave),
		sourceWaiting:   with(unwinding(doResume, doUntrack), onContinue, sourceSaving, doSave),
		sourceSaving:    with(unwinding(doResume, doUntrack), onSaved, sourceLastCount, doLastCount),
		sourceLastCount: with(unwinding(doResume, doUntrack), onLastCounted, sourceFinishing, doFinish),
		sourceFinishing: finishing,
		sourcePreparing: with(unwinding(doResume, doUntrack), onPrepared, sourceCommitted, doCommit),
		sourceCommitted: committed,
		sourceInDoubt:   doubt,
		sourceSealing:   sealing,
		sourcePulling:   pulling,
		sourceRejoining: rejoining,
		sourceDraining:  draining,
		sourceLost:      ends(sourceLost),
		sourceCompleted: ends(sourceCompleted),
		sourceUnwound:   ends(sourceUnwound),
		sourceUndecided: ends(sourceUndecided),
	}
	for state := sourceNew; state < sourceStates; state++ {
		for event := onStart; event < sourceEvents; event++ {
			s := sourceAt(t, state, Precopy, state == sourceSealing)
			acts, err := s.Step(sourceInput{event: event, err: errors.New("why")})
			want, legal := table[state][event]
			name := fmt.Sprintf("%v in %v", event, state)
			var illegal *IllegalError
			if !legal {
				if !errors.As(err, &illegal) || !errors.Is(err, ErrProtocol) || s.state != state || acts != nil {
					t.Errorf("%s: got %v, %v, %v; want it illegal", name, s.state, acts, err)
				}
				continue
			}
			if err != nil || s.state != want.to {
				t.Errorf("%s: got %v, %v; want %v", name, s.state, err, want.to)
			}
			if diff := cmp.Diff(want.acts, acts); diff != "" && len(want.acts)+len(acts) > 0 {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			if s.done() && (s.outcome == "" || s.outcome != OutcomeCompleted && s.cause == nil) {
				t.Errorf("%s: got outcome %q, cause %v", name, s.outcome, s.cause)
			}
		}
	}
}

// TestSourceOvertaken: an answer may come before the event that what it answers has left.
func TestSourceOvertaken(t *testing.T) {
	s := sourceAt(t, sourcePushing, Precopy, false)
	for _, e := range []sourceEvent{onRoundAck, onPushed} {
		if _, err := s.Step(sourceInput{event: e}); err != nil {
			t.Fatal(err)
		}
	}
	if s.state != sourceCounting || s.round != 1 {
		t.Errorf("got %v in round %d; want it counting in round 1", s.state, s.round)
	}
	s = sourceAt(t, sourceFinishing, Precopy, false)
	var acts []sourceAction
	for _, e := range []sourceEvent{onPrepared, onFinished} {
		var err error
		if acts, err = s.Step(sourceInput{event: e}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]sourceAction{doCommit}, acts); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
	if _, err := s.Step(sourceInput{event: onRoundAck, round: 7}); err == nil {
		t.Error("got no error for the ack of a round that was not sent")
	}
}

func TestStopCopyPausesFirst(t *testing.T) {
	s := sourceAt(t, sourceOffering, StopCopy, false)
	acts, err := s.Step(sourceInput{event: onOffered})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]sourceAction{doPause}, acts); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
}

func TestCopyGoesOnHere(t *testing.T) {
	s := sourceAt(t, sourcePreparing, Precopy, true)
	acts, err := s.Step(sourceInput{event: onPrepared})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]sourceAction{doResume, doUntrack, doSeal}, acts); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
}

// TestStopIsAbandoned: a guest that wrote much between the decision and the pause runs on.
func TestStopIsAbandoned(t *testing.T) {
	s := sourceAt(t, sourcePausing, Precopy, false)
	s.forecast.sent(100<<20, time.Second) // 100 MiB/s
	step := func(in sourceInput) []sourceAction {
		t.Helper()
		acts, err := s.Step(in)
		if err != nil {
			t.Fatal(err)
		}
		return acts
	}
	step(sourceInput{event: onPaused, now: time.Millisecond})
	step(sourceInput{event: onSaved, now: 2 * time.Millisecond})
	got := step(sourceInput{event: onLastCounted, now: 2 * time.Millisecond, pages: 2560}) // 100 ms
	if diff := cmp.Diff([]sourceAction{doResume, doPush}, got); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
	if s.forecast.seen != 2*time.Millisecond || s.paused {
		t.Errorf("got seen %v, paused %v; want what the pause cost remembered", s.forecast.seen, s.paused)
	}
	step(sourceInput{event: onPushed, bytes: 10 << 20, now: 100 * time.Millisecond})
	step(sourceInput{event: onRoundAck, round: uint32(s.round), now: 102 * time.Millisecond})
	if got := step(sourceInput{event: onCounted, pages: 0}); got[0] != doPause {
		t.Errorf("got %v; want a second stop", got)
	}
}

// TestWaitIsNotAbandoned: somebody prepared the switch while the guest stood still; it takes place.
func TestWaitIsNotAbandoned(t *testing.T) {
	for _, tt := range []struct {
		mode  Mode
		pages uint64 // at 1 MiB/s
		want  sourceAction
	}{
		{Precopy, 1000, doFinish},
		{Auto, 1000, doSwitch}, // the rest is pulled
		{Auto, 1, doFinish},    // the wait itself is no reason to
	} {
		s := sourceAt(t, sourceWaiting, tt.mode, false)
		s.canPull = tt.mode != Precopy
		s.forecast.sent(1<<20, time.Second)
		var acts []sourceAction
		for _, in := range []sourceInput{
			{event: onContinue, now: time.Minute}, {event: onSaved, now: time.Minute}, {event: onLastCounted, now: time.Minute, pages: tt.pages},
		} {
			var err error
			if acts, err = s.Step(in); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff([]sourceAction{tt.want}, acts); diff != "" {
			t.Errorf("%s, %d pages: actions (-want +got):\n%s", tt.mode, tt.pages, diff)
		}
	}
}

// TestTimeoutEndsAWait: in a mode that pulls when it is out of time, too, for the guest stands still.
func TestTimeoutEndsAWait(t *testing.T) {
	s := sourceAt(t, sourceWaiting, Hybrid, false)
	s.canPull = true
	if _, err := s.Step(sourceInput{event: onTimeout, err: ErrTimeout}); err != nil || s.state != sourceUnwound || s.outcome != OutcomeCancelled {
		t.Errorf("got %v, %v, %v; want it cancelled", s.state, s.outcome, err)
	}
}

// TestForwardingStates: packets are forwarded from the commit on, beside a pull if there is one, and the move
// ends when the target has them, or the link is gone.
func TestForwardingStates(t *testing.T) {
	type step struct {
		event sourceEvent
		to    sourceState
		acts  []sourceAction
	}
	end := []sourceAction{doRelease, doEnd}
	for name, tc := range map[string]struct {
		pull  bool
		steps []step
	}{
		"all pages there": {false, []step{{onRunning, sourceDraining, []sourceAction{doDrain}}, {onDelivered, sourceCompleted, end}}},
		"in doubt":        {false, []step{{onLinkLost, sourceInDoubt, []sourceAction{doInterrupt, doAsk}}, {onStarted, sourceCompleted, []sourceAction{doDrain, doEnd}}}},
		"not started":     {false, []step{{onLinkLost, sourceInDoubt, []sourceAction{doInterrupt, doAsk}}, {onUnstarted, sourceUnwound, []sourceAction{doResume, doUntrack, doEnd}}}},
		"pulled last":     {true, []step{{onRunning, sourcePulling, []sourceAction{doDrain, doServe}}, {onDelivered, sourcePulling, nil}, {onPulled, sourceCompleted, end}}},
		"pulled first":    {true, []step{{onRunning, sourcePulling, []sourceAction{doDrain, doServe}}, {onPulled, sourceDraining, nil}, {onDelivered, sourceCompleted, end}}},
		"no answer":       {true, []step{{onRunning, sourcePulling, []sourceAction{doDrain, doServe}}, {onUndelivered, sourcePulling, nil}, {onPulled, sourceCompleted, end}}},
		"parted": {true, []step{{onRunning, sourcePulling, []sourceAction{doDrain, doServe}}, {onLinkLost, sourceRejoining, []sourceAction{doPart, doRejoin}},
			{onRejoined, sourcePulling, []sourceAction{doServe}}, {onPulled, sourceCompleted, end}}},
		"in doubt, to be pulled": {true, []step{{onLinkLost, sourceInDoubt, []sourceAction{doInterrupt, doAsk}}, {onStarted, sourceRejoining, []sourceAction{doDrain, doPart, doRejoin}},
			{onPulled, sourceCompleted, end}}},
	} {
		s := sourceAt(t, sourcePreparing, Precopy, false)
		s.forwards, s.pull = true, tc.pull
		for _, want := range append([]step{{onPrepared, sourceCommitted, []sourceAction{doCommit, doForward}}}, tc.steps...) {
			acts, err := s.Step(sourceInput{event: want.event})
			if err != nil || s.state != want.to {
				t.Fatalf("%s, %v: got %v, %v; want %v", name, want.event, s.state, err, want.to)
			}
			if diff := cmp.Diff(want.acts, acts); diff != "" && len(want.acts)+len(acts) > 0 {
				t.Errorf("%s, %v (-want +got):\n%s", name, want.event, diff)
			}
		}
	}
}
