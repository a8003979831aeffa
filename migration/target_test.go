package migration

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func targetAt(t testing.TB, want targetState) target {
	t.Helper()
	var m target
	script := []targetEvent{gotReserve, gotBuilt, gotState, gotAllPages, gotRestored, gotCommit, gotRecorded, gotStarted, gotRelease}
	switch want {
	case targetFencing:
		script = append(script[:5:5], gotLinkLost)
	case targetPulling, targetParted:
		script = append(script[:8:8], gotLinkLost)
	case targetUnfenced:
		script = append(script[:5:5], gotLinkLost, gotTombstoneFailed)
	case targetDiscarded:
		script = append(script[:2:2], gotCancel)
	case targetLost:
		script = append(script[:7:7], gotStartFailed)
	}
	for _, e := range script {
		if m.state == want {
			return m
		}
		if _, err := m.Step(targetInput{event: e, err: errors.New("why"), left: want == targetPulling || want == targetParted}); err != nil {
			t.Fatalf("on the way to %v: %v", want, err)
		}
	}
	if m.state != want {
		t.Fatalf("got to %v; want %v", m.state, want)
	}
	return m
}

// TestTargetTransitions has every event in every state.
func TestTargetTransitions(t *testing.T) {
	type step struct {
		to   targetState
		acts []targetAction
	}
	// Before Prepared the target gives up freely. built says whether there is something to give back.
	giving := func(discard ...targetAction) map[targetEvent]step {
		quiet := append(append([]targetAction{}, discard...), actRemoveRecord, actEnd)
		loud := append([]targetAction{actSayAbort}, quiet...)
		return map[targetEvent]step{
			gotFailed: {targetDiscarded, loud}, gotCancel: {targetDiscarded, loud},
			gotAbort: {targetDiscarded, quiet}, gotLinkLost: {targetDiscarded, quiet},
		}
	}
	with := func(m map[targetEvent]step, e targetEvent, to targetState, acts ...targetAction) map[targetEvent]step {
		m[e] = step{to, acts}
		return m
	}
	deaf := func(s targetState) map[targetEvent]step {
		return map[targetEvent]step{gotFailed: {to: s}, gotAbort: {to: s}, gotLinkLost: {to: s}, gotCancel: {to: s}}
	}
	ends := func(s targetState) map[targetEvent]step {
		m := map[targetEvent]step{}
		for e := gotReserve + 1; e < targetEvents; e++ {
			m[e] = step{s, nil}
		}
		return m
	}
	fresh := giving()
	fresh[gotFailed] = step{targetDiscarded, []targetAction{actRemoveRecord, actEnd}}
	fresh[gotCancel] = fresh[gotFailed]
	receiving := with(giving(actDiscard), gotRoundEnd, targetReceiving, actAckRound)
	receiving[gotAllPages] = step{to: targetReceiving}
	receiving[gotState] = step{to: targetReceiving}
	building := with(giving(), gotBuilt, targetReceiving, actSayReserved)
	building[gotBuildFailed] = step{targetDiscarded, []targetAction{actSayRefused, actRemoveRecord, actEnd}}
	fence := []targetAction{actTombstone}
	prepared := map[targetEvent]step{
		gotCommit: {targetRecording, []targetAction{actRecord}},
		gotFailed: {targetFencing, fence}, gotCancel: {targetFencing, fence}, gotLinkLost: {targetFencing, fence},
		gotAbort: {targetDiscarded, []targetAction{actDiscard, actRemoveRecord, actEnd}},
	}
	recording := with(deaf(targetRecording), gotRecorded, targetStarting, actStart)
	recording[gotRecordFailed] = step{targetFencing, fence}
	starting := with(deaf(targetStarting), gotStarted, targetRunning, actSayRunning)
	starting[gotStartFailed] = step{targetLost, []targetAction{actSayAbort, actEnd}}
	end := []targetAction{actEnd}
	running := map[targetEvent]step{
		gotRelease: {targetCompleted, []targetAction{actRemoveRecord, actEnd}}, gotCancel: {to: targetRunning},
		gotFailed: {targetCompleted, end}, gotAbort: {targetCompleted, end}, gotLinkLost: {targetCompleted, end},
	}
	fencing := with(deaf(targetFencing), gotTombstone, targetDiscarded, actDiscard, actEnd)
	fencing[gotTombstoneFailed] = step{targetUnfenced, end}
	part := step{targetParted, []targetAction{actPart}}
	whole := step{targetRunning, []targetAction{actFilled, actSayPulled}}
	pulling := map[targetEvent]step{
		gotPulled: whole, gotEnded: whole, gotLinkLost: part, gotFailed: part, gotAbort: part, gotCancel: {to: targetPulling},
		gotFetch: {targetPulling, []targetAction{actSayFetch}},
	}
	alone := step{targetParted, []targetAction{actFilled}}
	parted := with(deaf(targetParted), gotRejoined, targetPulling, actSayMissing)
	parted[gotPulled], parted[gotEnded] = alone, alone
	table := map[targetState]map[targetEvent]step{
		targetNew:       with(fresh, gotReserve, targetBuilding, actBuild),
		targetBuilding:  building,
		targetReceiving: receiving,
		targetRestoring: with(giving(actDiscard), gotRestored, targetPrepared, actSayPrepared),
		targetPrepared:  prepared,
		targetRecording: recording,
		targetStarting:  starting,
		targetRunning:   running,
		targetFencing:   fencing,
		targetPulling:   pulling,
		targetParted:    parted,
		targetCompleted: ends(targetCompleted),
		targetDiscarded: ends(targetDiscarded),
		targetLost:      ends(targetLost),
		targetUnfenced:  ends(targetUnfenced),
	}
	// An action with an outcome must be the last of its step: the shell takes one. Words that are lost are only words.
	outcome := map[targetAction]bool{actRestore: true, actRecord: true, actStart: true, actTombstone: true, actSayReserved: true, actSayPrepared: true}
	for state := targetNew; state < targetStates; state++ {
		for event := gotReserve; event < targetEvents; event++ {
			m := targetAt(t, state)
			acts, err := m.Step(targetInput{event: event, err: errors.New("why")})
			want, legal := table[state][event]
			if !legal && (event == gotEnded || event == gotFetch) { // nothing is missing
				want, legal = step{to: state}, true
			}
			name := fmt.Sprintf("%v in %v", event, state)
			var illegal *IllegalError
			if !legal {
				if !errors.As(err, &illegal) || m.state != state || acts != nil {
					t.Errorf("%s: got %v, %v, %v; want it illegal", name, m.state, acts, err)
				}
				continue
			}
			if err != nil || m.state != want.to {
				t.Errorf("%s: got %v, %v; want %v", name, m.state, err, want.to)
			}
			if diff := cmp.Diff(want.acts, acts); diff != "" && len(want.acts)+len(acts) > 0 {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			for i, a := range acts {
				if outcome[a] && i != len(acts)-1 {
					t.Errorf("%s: %v is not the last of %v", name, a, acts)
				}
			}
			if m.done() && (m.outcome == "" || m.outcome != OutcomeCompleted && m.cause == nil) {
				t.Errorf("%s: got outcome %q, cause %v", name, m.outcome, m.cause)
			}
		}
	}
}

// TestTargetNeedsAllPagesAndState, in whichever order they come.
func TestTargetNeedsAllPagesAndState(t *testing.T) {
	for _, order := range [][]targetEvent{{gotState, gotAllPages}, {gotAllPages, gotState}} {
		m := targetAt(t, targetReceiving)
		if acts, err := m.Step(targetInput{event: order[0]}); err != nil || len(acts) > 0 {
			t.Errorf("%v: got %v, %v; want it to wait", order[0], acts, err)
		}
		if _, err := m.Step(targetInput{event: order[0]}); err == nil {
			t.Errorf("a second %v: got no error", order[0])
		}
		acts, err := m.Step(targetInput{event: order[1]})
		if err != nil || len(acts) != 1 || acts[0] != actRestore {
			t.Errorf("%v: got %v, %v; want the restore", order[1], acts, err)
		}
	}
}

// TestTargetTakesPackets, from a source whose commit said that it would forward some, and until it says that there are no more.
func TestTargetTakesPackets(t *testing.T) {
	for _, state := range []targetState{targetRunning, targetPulling, targetParted} {
		m := targetAt(t, state)
		if _, err := m.Step(targetInput{event: gotFrames}); err == nil {
			t.Errorf("%v, unasked for: got no error", state)
		}
		m.frames = true
		for _, want := range []struct {
			event targetEvent
			act   targetAction
		}{{gotFrames, actDeliver}, {gotFrames, actDeliver}, {gotDrained, actSayDelivered}} {
			acts, err := m.Step(targetInput{event: want.event})
			if diff := cmp.Diff([]targetAction{want.act}, acts); err != nil || m.state != state || diff != "" {
				t.Errorf("%v, %v: got %v, %v, actions (-want +got):\n%s", state, want.event, m.state, err, diff)
			}
		}
		for _, e := range []targetEvent{gotFrames, gotDrained} {
			if _, err := m.Step(targetInput{event: e}); err == nil {
				t.Errorf("%v, %v behind the last: got no error", state, e)
			}
		}
	}
	m := targetAt(t, targetPrepared)
	if _, err := m.Step(targetInput{event: gotCommit, frames: true}); err != nil || !m.frames {
		t.Errorf("commit: got %v, %v; want it to await packets", m.frames, err)
	}
	if _, err := m.Step(targetInput{event: gotFrames}); err == nil {
		t.Error("before the guest runs: got no error")
	}
}
