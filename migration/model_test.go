package migration

import (
	"errors"
	"time"
)

// model is a source, a target, their records and what is between them, at one
// instant. It is a value: a step makes another one. The two state machines are
// the real ones; around them is what sender, receiver, supervisor and records do.
type model struct {
	how *modelHow // not part of what it is

	src            source
	srcUp, srcSup  bool   // its machine, its supervisor live
	todo           string // the long actions that wait, a byte each
	outcome        sourceEvent
	pending, large bool // outcome happened and has not been told, with many pages
	own            word // the source's record
	srcRuns        bool

	tgt      target
	tgtUp    bool
	tgtSup   uint8 // 0: none, 1: that of the move, 2: a later one
	building bool
	record   word // the target's
	tgtRuns  bool
	started  bool // it did, at some time

	toTgt, bulk, toSrc string // frames under way, a byte each
	deadTo, deadFrom   bool   // this direction passes nothing any more
	srcKnows, tgtKnows bool   // that the link is lost
	net                bool   // new connections can be made

	// One packet comes for the guest while it is paused at the source.
	forwarding   bool // it is to be sent
	atSrc, atTgt bool // the guest was given it
	hasty        bool // the source did not wait for an answer

	// Memory is one page. Stale: the target's copy, as it will be when all that
	// is under way has come, is not the source's. Bit: the source will send it.
	log, stale, bit, owed bool

	faults, writes  uint8 // that may still happen
	cancels, fenced bool

	trail *trail
}

// modelHow is what is explored.
type modelHow struct {
	mode   Mode
	wait   bool  // --pause-before-switchover
	frames bool  // packets are forwarded
	shared bool  // the record is on storage that both hosts see
	fence  bool  // there is a fencing hook, which says the truth
	person bool  // a person resolves, and says the truth
	faults uint8 // that may happen

	// Mistakes, which the model must find.
	forgetful bool // who answers that the guest did not start does not make it durable
	lies      bool // the person does not know
	careless  bool // what the guest writes is not logged
}

// word is what a record says.
type word uint8

const (
	wordNone word = iota
	wordReserved
	wordStarted
	wordComplete
	wordTombstone
)

// trail is how a model came to be.
type trail struct {
	before *trail
	step   string
}

func (t *trail) String() string {
	if t == nil {
		return ""
	}
	return t.before.String() + t.step + "; "
}

var errModel = errors.New("model")

// manyPages is enough for another round, and for a stop to be abandoned.
const manyPages = 1000

// frameLeft is frameEnd of a push that leaves pages to be pulled.
const frameLeft = frameEnd + 1

func newModel(how *modelHow) model {
	m := model{
		how: how, src: newSource(how.mode, false, time.Second), srcUp: true, srcSup: true, srcRuns: true, own: wordReserved,
		tgtUp: true, tgtSup: 1, record: wordReserved, net: true, stale: true, faults: how.faults, writes: 1,
	}
	m.src.wait = how.wait
	m.source(sourceInput{event: onStart})
	return m
}

// key tells models apart by what they can still do.
func (m *model) key() string {
	s, t := &m.src, &m.tgt
	b := make([]byte, 0, 64)
	flag := func(fs ...bool) {
		var c byte
		for i, f := range fs {
			if f {
				c |= 1 << i
			}
		}
		b = append(b, c)
	}
	b = append(b, byte(s.state), byte(s.round), byte(t.state), byte(m.outcome), byte(m.own), byte(m.record), m.tgtSup, m.faults, m.writes)
	flag(s.acked, s.prepared, s.tracking, s.paused, s.pull, s.canPull, s.overdue, s.forecast.seen > 0)
	flag(t.pages, t.hasState, t.built, t.pull, t.whole, t.fetch, t.tell, m.building)
	flag(m.srcUp, m.srcSup, m.pending, m.large, m.srcRuns, m.tgtUp, m.tgtRuns, m.started)
	flag(m.deadTo, m.deadFrom, m.srcKnows, m.tgtKnows, m.net, m.log, m.stale, m.bit)
	flag(m.owed, m.cancels, m.fenced, m.forwarding, m.atSrc, m.atTgt, m.hasty, s.draining, t.frames)
	for _, q := range []string{m.todo, m.toTgt, m.bulk, m.toSrc} {
		b = append(append(b, q...), 0xff)
	}
	if s.done() {
		b = append(b, s.outcome...)
	}
	return string(b)
}

func (m *model) send(queue *string, dead bool, f frameType) {
	if !dead {
		*queue += string([]byte{byte(f)})
	}
}

// source gives an event to the source and does the quick actions, as sender does.
func (m *model) source(in sourceInput) {
	in.err, in.canPull, in.forwards = errModel, true, m.how.frames
	if in.event == onLastCounted {
		in.now = 2 * time.Second // longer than the limit
	}
	acts, err := m.src.Step(in)
	if err != nil {
		acts, _ = m.src.Step(sourceInput{event: onFailed, err: err})
	}
	for _, a := range acts {
		switch a {
		case doCommit:
			m.send(&m.toTgt, m.deadTo, frameCommit)
		case doRelease:
			m.send(&m.toTgt, m.deadTo, frameRelease)
		case doAbort:
			m.send(&m.toTgt, m.deadTo, frameAbort)
		case doForward:
			m.forwarding = true
		case doInterrupt:
			m.forwarding = false
		case doCut:
		default:
			m.todo += string([]byte{byte(a)})
		}
	}
}

// act does the source's next long action.
func (m *model) act() {
	a := sourceAction(m.todo[0])
	m.todo = m.todo[1:]
	m.large = false
	outcome := map[sourceAction]sourceEvent{doOffer: onOffered, doCount: onCounted, doPush: onPushed, doPause: onPaused, doWait: onContinue,
		doSave: onSaved, doLastCount: onLastCounted, doFinish: onFinished, doSwitch: onFinished}
	switch a {
	case doReserve:
		m.send(&m.toTgt, m.deadTo, frameReserve)
	case doCount, doLastCount:
		if !m.log {
			m.log, m.bit = true, true // all data is pending
		}
		m.large = m.bit
	case doPush:
		m.push()
		m.send(&m.bulk, m.deadTo, frameRoundEnd)
	case doPause:
		m.srcRuns, m.atSrc = false, false // after a stop that was abandoned it is another one
	case doFinish:
		m.push()
		m.send(&m.toTgt, m.deadTo, frameState)
		m.send(&m.bulk, m.deadTo, frameEnd)
	case doSwitch:
		m.send(&m.toTgt, m.deadTo, frameState)
		m.owed, m.large = m.bit, m.bit
		end := frameType(frameEnd)
		if m.owed {
			end = frameLeft
		}
		m.send(&m.bulk, m.deadTo, end)
	case doResume:
		m.srcRuns, m.atSrc = true, true
	case doUntrack:
		m.log, m.bit = false, false
	case doServe, doFetch:
		if m.owed {
			m.send(&m.bulk, m.deadTo, framePages)
		}
	case doPart:
		m.deadTo, m.deadFrom, m.srcKnows, m.forwarding = true, true, true, false
	case doRejoin, doRejoinAgain:
		m.outcome, m.pending = m.rejoin(), true
		return
	case doAsk, doAskAgain:
		m.outcome, m.pending = m.ask(), true
		return
	case doEnd:
		m.deadTo, m.deadFrom = true, true // what is under way still comes
		return
	}
	m.outcome, m.pending = outcome[a], outcome[a] != 0
}

// settleDown does what nobody else sees, or can disturb: one order of that and of
// what others do meanwhile stands for all.
func (m *model) settleDown() {
	for !m.pending && m.todo != "" {
		switch sourceAction(m.todo[0]) {
		case doOffer, doCount, doWait, doSave, doLastCount, doUntrack, doPart, doDrain:
			m.act()
			if m.pending {
				m.told()
			}
		default:
			return
		}
	}
}

// told brings in the outcome of an action.
func (m *model) told() {
	m.pending = false
	in := sourceInput{event: m.outcome, round: uint32(m.src.round)}
	if m.large {
		in.pages = manyPages
	}
	m.source(in)
}

// push sends what is pending.
func (m *model) push() {
	if m.bit {
		m.bit, m.stale = false, false
	}
}

// ask asks what became of the commit, as departure.ask does.
func (m *model) ask() sourceEvent {
	switch {
	case m.own == wordTombstone:
		return onUnstarted
	case m.own == wordStarted:
		return onStarted
	case !m.srcSup, !m.how.shared && !(m.net && m.tgtSup > 0):
		return onUnknown
	}
	e := m.settle()
	switch e {
	case onUnstarted:
		m.own = wordTombstone
	case onStarted, onLost:
		m.own = wordStarted
	}
	return e
}

// settle answers from the target's record, and decides it, as ledger.settle does.
func (m *model) settle() sourceEvent {
	switch m.record {
	case wordReserved:
		if !m.how.forgetful {
			m.record = wordTombstone
		}
		return onUnstarted
	case wordTombstone:
		return onUnstarted
	case wordNone:
		return onUnknown
	}
	if !m.tgtUp {
		return onLost
	}
	return onStarted
}

// rejoin makes the link anew, as far as it can be.
func (m *model) rejoin() sourceEvent {
	if !m.srcSup || !m.net || m.tgtSup == 0 {
		return onNotJoined
	}
	if !m.tgtUp || m.tgt.done() || m.tgt.state == targetRunning {
		switch m.record {
		case wordComplete:
			return onPulled
		case wordStarted:
			if !m.tgtUp {
				return onLost
			}
		}
		return onNotJoined
	}
	if m.tgtSup != 1 { // a later supervisor cannot hand connections to the machine
		return onNotJoined
	}
	if m.tgt.state == targetPulling {
		m.target(targetInput{event: gotLinkLost}, false, -1)
	}
	if m.tgt.state != targetParted {
		return onNotJoined
	}
	m.toTgt, m.bulk, m.toSrc = "", "", ""
	m.deadTo, m.deadFrom, m.srcKnows, m.tgtKnows = false, false, false, false
	m.target(targetInput{event: gotRejoined}, false, -1)
	return onRejoined
}
