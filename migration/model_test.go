package migration

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// model is a source, a target and what is between them, at one instant. It is
// a value: a step makes another one.
type model struct {
	src source
	tgt target

	todo    string // the source's long actions that wait, a byte each
	outcome sourceEvent
	pending bool // outcome happened and has not been told to the machine

	toTgt, bulk, toSrc string // frames under way, a byte each
	broken             bool
	srcKnows, tgtKnows bool // that it is

	building bool
	record   Answer // Pending; 0: removed
	srcRuns  bool
	tgtRuns  bool
	trail    string // how it came to this; not part of what it is
}

var errModel = errors.New("model")

// key tells models apart by what they can still do.
func (m model) key() string {
	s, t := m.src, m.tgt
	return fmt.Sprint(s.state, s.round, s.acked, s.prepared, s.tracking, s.paused, t.state, t.pages, t.hasState, t.built,
		[]byte(m.todo), m.outcome, m.pending, []byte(m.toTgt), []byte(m.bulk), []byte(m.toSrc), m.broken, m.srcKnows, m.tgtKnows,
		m.building, m.record, m.srcRuns, m.tgtRuns)
}

func (m *model) send(queue *string, f frameType) {
	if !m.broken {
		*queue += string(rune(f))
	}
}

// source gives an event to the source and does the quick actions, as sender does.
func (m *model) source(in sourceInput) {
	in.err = errModel
	acts, err := m.src.Step(in)
	if err != nil {
		acts, _ = m.src.Step(sourceInput{event: onFailed, err: err})
	}
	for _, a := range acts {
		switch a {
		case doCommit:
			m.send(&m.toTgt, frameCommit)
		case doRelease:
			m.send(&m.toTgt, frameRelease)
		case doAbort:
			m.send(&m.toTgt, frameAbort)
		case doInterrupt:
		default:
			m.todo += string(rune(a))
		}
	}
}

// act does the source's next long action.
func (m *model) act() {
	a := sourceAction(m.todo[0])
	m.todo = m.todo[1:]
	outcome := map[sourceAction]sourceEvent{doOffer: onOffered, doCount: onCounted, doPush: onPushed, doPause: onPaused, doWait: onContinue,
		doSave: onSaved, doLastCount: onLastCounted, doFinish: onFinished}
	switch a {
	case doReserve:
		m.send(&m.toTgt, frameReserve)
	case doPush:
		m.send(&m.bulk, frameRoundEnd)
	case doPause:
		m.srcRuns = false
	case doFinish:
		m.send(&m.toTgt, frameState)
		m.send(&m.bulk, frameEnd) // stands for the end of the last round
	case doResume:
		m.srcRuns = true
	case doAsk, doAskAgain:
		m.outcome, m.pending = onUnknown, true
		switch m.record {
		case Started:
			m.outcome = onStarted
		case NotStarted:
			m.outcome = onUnstarted
		}
		return
	}
	m.outcome, m.pending = outcome[a], outcome[a] != 0
}

// target gives an event to the target and does all it decides, as receiver
// does. fail has the record fail.
func (m *model) target(in targetInput, fail bool) {
	for more := true; more; {
		in.err = errModel
		acts, err := m.tgt.Step(in)
		if err != nil {
			acts, _ = m.tgt.Step(targetInput{event: gotFailed, err: err})
		}
		more = false
		next := func(e targetEvent) { in, more = targetInput{event: e}, true }
		for _, a := range acts {
			switch a {
			case actBuild:
				m.building = true
			case actSayReserved:
				m.send(&m.toSrc, frameReserved)
			case actSayRefused:
				m.send(&m.toSrc, frameRefused)
			case actAckRound:
				m.send(&m.toSrc, frameRoundAck)
			case actRestore:
				next(gotRestored)
			case actSayPrepared:
				m.send(&m.toSrc, framePrepared)
			case actRecord:
				if fail {
					next(gotRecordFailed)
					break
				}
				m.record = Started
				next(gotRecorded)
			case actStart:
				m.tgtRuns = true
				next(gotStarted)
			case actSayRunning:
				m.send(&m.toSrc, frameRunning)
			case actSayAbort:
				m.send(&m.toSrc, frameAbort)
			case actTombstone:
				m.record = NotStarted
				next(gotTombstone)
			case actRemoveRecord:
				m.record = 0
			}
		}
	}
}

// next lists what can happen.
func (m model) next() []model {
	var all []model
	try := func(name string, f func(*model)) {
		n := m
		f(&n)
		n.trail += name + "; "
		all = append(all, n)
	}
	if m.pending {
		try("told "+m.outcome.String(), func(n *model) {
			n.pending = false
			n.source(sourceInput{event: n.outcome})
		})
	} else if m.todo != "" && sourceAction(m.todo[0]) != doEnd {
		try("does "+sourceAction(m.todo[0]).String(), (*model).act)
	}
	deliver := func(queue func(*model) *string, event func(*model, frameType)) {
		if q := *queue(&m); q != "" {
			try(frameType(q[0]).String()+" comes", func(n *model) {
				*queue(n) = q[1:]
				event(n, frameType(q[0]))
			})
		}
	}
	toTarget := map[frameType]targetEvent{frameReserve: gotReserve, frameState: gotState, frameCommit: gotCommit, frameRelease: gotRelease,
		frameAbort: gotAbort, frameRoundEnd: gotRoundEnd, frameEnd: gotAllPages}
	for _, fail := range []bool{false, true} {
		deliver(func(n *model) *string { return &n.toTgt }, func(n *model, f frameType) { n.target(targetInput{event: toTarget[f]}, fail) })
	}
	deliver(func(n *model) *string { return &n.bulk }, func(n *model, f frameType) { n.target(targetInput{event: toTarget[f]}, false) })
	toSource := map[frameType]sourceEvent{frameReserved: onReserved, frameRefused: onRefused, frameRoundAck: onRoundAck,
		framePrepared: onPrepared, frameRunning: onRunning, frameAbort: onAbort}
	deliver(func(n *model) *string { return &n.toSrc }, func(n *model, f frameType) { n.source(sourceInput{event: toSource[f]}) })
	if m.building {
		try("built", func(n *model) { n.building = false; n.target(targetInput{event: gotBuilt}, false) })
		try("not built", func(n *model) { n.building = false; n.target(targetInput{event: gotBuildFailed}, false) })
	}
	if !m.broken {
		try("cut", func(n *model) { n.broken, n.toTgt, n.bulk, n.toSrc = true, "", "", "" })
	}
	if m.broken && !m.srcKnows {
		try("source sees the cut", func(n *model) { n.srcKnows = true; n.source(sourceInput{event: onLinkLost}) })
	}
	if m.broken && !m.tgtKnows {
		try("target sees the cut", func(n *model) { n.tgtKnows = true; n.target(targetInput{event: gotLinkLost}, false) })
	}
	if !m.src.done() {
		try("cancel", func(n *model) { n.source(sourceInput{event: onCancel}) })
	}
	if !m.tgt.done() {
		try("target's cancel", func(n *model) { n.target(targetInput{event: gotCancel}, false) })
	}
	return all
}

// TestNeverTwoCopies walks through every order in which frames, faults and
// decisions can come: never do two copies run, and at every end exactly one does.
func TestNeverTwoCopies(t *testing.T) {
	for _, how := range []struct {
		mode Mode
		wait bool
	}{{Precopy, false}, {Precopy, true}, {StopCopy, false}} {
		mode := how.mode
		start := model{src: newSource(mode, false, time.Second), record: Pending, srcRuns: true}
		start.src.wait = how.wait
		start.source(sourceInput{event: onStart})
		seen := map[string]bool{start.key(): true}
		ends := map[Outcome]int{}
		for queue := []model{start}; len(queue) > 0; {
			m := queue[0]
			queue = queue[1:]
			if m.srcRuns && m.tgtRuns {
				t.Fatalf("two copies run after: %s", m.trail)
			}
			if m.src.done() && m.tgt.done() && !m.building && !m.pending && len(m.todo) == 1 {
				if m.srcRuns == m.tgtRuns {
					t.Fatalf("%v, %v: %v copies run at the end: %s", m.src.state, m.tgt.state, m.srcRuns, m.trail)
				}
				if moved := m.src.outcome == OutcomeCompleted; moved != m.tgtRuns {
					t.Fatalf("the source says %v, the target runs %v: %s", m.src.outcome, m.tgtRuns, m.trail)
				}
				ends[m.src.outcome]++
			}
			if m.tgt.done() && m.src.state == sourceInDoubt && m.record != Started && m.record != NotStarted {
				t.Fatalf("in doubt for ever: %s", m.trail)
			}
			next := m.next()
			if len(next) == 0 && !(m.src.done() && m.tgt.done()) {
				t.Fatalf("stuck in %v, %v: %s", m.src.state, m.tgt.state, m.trail)
			}
			for _, n := range next {
				if k := n.key(); !seen[k] {
					seen[k] = true
					queue = append(queue, n)
				}
			}
		}
		t.Logf("%s: %d situations, ends %v", mode, len(seen), ends)
		if ends[OutcomeCompleted] == 0 || ends[OutcomeFailed] == 0 || ends[OutcomeCancelled] == 0 || len(seen) < 500 {
			t.Errorf("%s: got %d situations, ends %v; want more", mode, len(seen), ends)
		}
	}
}
