package migration

import "strconv"

// next lists what happens sooner or later, and what may happen or not.
func (m *model) next() (sure, maybe []model) {
	list := &sure
	try := func(name string, f func(*model)) {
		n := *m
		f(&n)
		n.trail = &trail{m.trail, name}
		if n.faults < m.faults {
			maybe = append(maybe, n)
			return
		}
		*list = append(*list, n)
	}
	m.work(try)
	m.deliver(try)
	m.notice(try)
	list = &maybe
	m.decide(try)
	if m.faults > 0 {
		m.fault(func(name string, f func(*model)) {
			try(name, func(n *model) {
				n.faults--
				f(n)
			})
		})
	}
	return sure, maybe
}

// trying is given what may happen, and its name.
type trying func(name string, f func(*model))

// work is what the processes do by themselves.
func (m *model) work(try trying) {
	if m.srcRuns && m.log && m.writes > 0 { // before, and behind, all is stale anyway
		try("guest writes", func(n *model) {
			n.writes--
			n.stale, n.bit = true, n.bit || !n.how.careless
		})
	}
	switch {
	case !m.srcUp:
	case m.pending:
		try("told "+m.outcome.String(), func(n *model) {
			n.told()
			n.settleDown()
		})
	case m.todo != "":
		a := sourceAction(m.todo[0])
		try("does "+a.String(), func(n *model) {
			n.act()
			// Between some actions and their outcome others may be overtaken by what
			// they caused; for the rest one order stands for all.
			if a != doPush && a != doFinish && a != doSwitch && n.pending {
				n.told()
			}
			n.settleDown()
		})
		if a == doAsk || a == doAskAgain {
			try("asks, and the answer is lost", func(n *model) {
				own := n.own
				n.act()
				if own == wordReserved {
					n.own, n.outcome = own, onUnknown
				}
				n.told()
			})
		}
	}
	if m.forwarding && m.srcUp {
		try("forwards", func(n *model) {
			n.forwarding = false
			n.send(&n.toTgt, n.deadTo, frameFrames)
			n.send(&n.toTgt, n.deadTo, frameDrained)
		})
	}
	if m.building {
		try("built", func(n *model) {
			n.building = false
			n.target(targetInput{event: gotBuilt}, false, -1)
		})
		try("not built", func(n *model) {
			n.building = false
			n.target(targetInput{event: gotBuildFailed}, false, -1)
		})
	}
}

// events are those of the frames of a source.
var events = map[frameType]targetEvent{frameReserve: gotReserve, frameState: gotState, frameCommit: gotCommit, frameRelease: gotRelease,
	frameAbort: gotAbort, frameRoundEnd: gotRoundEnd, frameEnd: gotAllPages, frameLeft: gotAllPages, framePages: gotPulled,
	frameFrames: gotFrames, frameDrained: gotDrained}

// replies are the events of the frames of a target.
var replies = map[frameType]sourceEvent{frameReserved: onReserved, frameRefused: onRefused, frameRoundAck: onRoundAck,
	framePrepared: onPrepared, frameRunning: onRunning, frameAbort: onAbort, framePulled: onPulled, frameFetch: onFetch,
	frameDelivered: onDelivered}

// deliver is what comes out of the link. In what is done about it the target may
// be killed between any two of its actions, and its record may fail.
func (m *model) deliver(try trying) {
	take := func(queue func(*model) *string) {
		q := *queue(m)
		if q == "" || !m.tgtUp {
			return
		}
		f := frameType(q[0])
		arrive := func(fail bool, lives int) func(*model) {
			return func(n *model) {
				*queue(n) = q[1:]
				if f == framePages {
					n.stale, n.owed = false, false
				}
				n.target(targetInput{event: events[f], left: f == frameLeft, frames: n.how.frames}, fail, lives)
			}
		}
		try(f.String()+" comes", arrive(false, -1))
		if m.faults == 0 {
			return
		}
		dry := *m
		*queue(&dry) = q[1:]
		for lives := range dry.target(targetInput{event: events[f], left: f == frameLeft, frames: m.how.frames}, false, -1) {
			try(f.String()+" comes, killed after "+strconv.Itoa(lives)+" actions", func(n *model) {
				n.faults--
				arrive(false, lives)(n)
			})
		}
		if f == frameCommit {
			try("commit comes, the record fails", func(n *model) {
				n.faults--
				arrive(true, -1)(n)
			})
		}
	}
	take(func(n *model) *string { return &n.toTgt })
	take(func(n *model) *string { return &n.bulk })
	if m.toSrc != "" && m.srcUp {
		f := frameType(m.toSrc[0])
		try(f.String()+" comes", func(n *model) {
			n.toSrc = n.toSrc[1:]
			n.source(sourceInput{event: replies[f], round: uint32(n.src.round)})
			n.settleDown()
		})
	}
}

// notice is what somebody sees of the link, or how long somebody waits.
func (m *model) notice(try trying) {
	lost := m.deadTo || m.deadFrom
	// A connection that was closed is read to its end first.
	if lost && !m.srcKnows && m.srcUp && m.toSrc == "" {
		try("source sees the loss", func(n *model) {
			n.srcKnows = true
			n.source(sourceInput{event: onLinkLost})
		})
	}
	if lost && !m.tgtKnows && m.tgtUp && !m.building {
		try("target sees the loss", func(n *model) {
			n.tgtKnows = true
			n.target(targetInput{event: gotLinkLost}, false, -1)
		})
	}
	if m.how.fence && m.srcUp && m.srcSup && m.src.state == sourceInDoubt && m.own == wordReserved && !m.fenced {
		try("fencing", func(n *model) {
			n.fenced = true
			n.killTarget()
			n.tgtSup = 0
			if n.record == wordReserved || n.record == wordTombstone {
				n.own = wordTombstone // else it says, and truly, that it came too late
			}
		})
	}
	if m.srcUp && m.src.state == sourceCommitted {
		try("source waits no longer", func(n *model) {
			n.hasty = n.how.frames
			n.source(sourceInput{event: onLinkLost})
		})
	}
	if m.srcUp && m.src.state == sourceDraining && !m.forwarding && (m.deadTo || m.deadFrom) {
		try("source does not wait for the packets", func(n *model) { n.source(sourceInput{event: onUndelivered}) })
	}
	if !m.net {
		try("network back", func(n *model) { n.net = true })
	}
	if m.tgtSup == 0 {
		try("a later vmm at the target", func(n *model) { n.tgtSup = 2 })
	}
}

// decide is what people decide.
func (m *model) decide(try trying) {
	if !m.cancels {
		if m.srcUp && !m.src.done() {
			try("cancel", func(n *model) {
				n.cancels = true
				n.source(sourceInput{event: onCancel})
			})
			try("timeout", func(n *model) {
				n.cancels = true
				n.source(sourceInput{event: onTimeout})
			})
		}
		if m.tgtUp && !m.tgt.done() && !m.building {
			try("target's cancel", func(n *model) {
				n.cancels = true
				n.target(targetInput{event: gotCancel}, false, -1)
			})
		}
	}
	if !m.how.person || !m.srcUp || m.src.state != sourceInDoubt || m.own != wordReserved {
		return
	}
	if m.record == wordTombstone || m.record == wordReserved && !m.tgtUp || m.how.lies {
		try("resolved to the source", func(n *model) { n.own = wordTombstone })
	} else if m.started {
		try("resolved to the target", func(n *model) { n.own = wordStarted })
	}
}

// fault is what breaks.
func (m *model) fault(try trying) {
	if !m.deadTo || !m.deadFrom {
		try("cut", func(n *model) {
			n.net, n.deadTo, n.deadFrom = false, true, true
			n.toTgt, n.bulk, n.toSrc = "", "", ""
		})
	}
	if m.src.state >= sourceFinishing && !m.deadTo { // before, it comes to the same as a cut
		try("silence towards the target", func(n *model) { n.net, n.deadTo, n.toTgt, n.bulk = false, true, "", "" })
	}
	if m.src.state >= sourceFinishing && !m.deadFrom {
		try("silence towards the source", func(n *model) { n.net, n.deadFrom, n.toSrc = false, true, "" })
	}
	if m.srcUp {
		try("source's machine killed", (*model).killSource)
	}
	if m.srcSup {
		try("source's supervisor killed", func(n *model) { n.srcSup = false })
		try("source killed", func(n *model) {
			n.srcSup = false
			n.killSource()
		})
	}
	if m.tgtUp {
		try("target's machine killed", (*model).killTarget)
	}
	if m.tgtSup == 1 {
		try("target's supervisor killed", func(n *model) { n.tgtSup = 0 })
		try("target killed", func(n *model) {
			n.tgtSup = 0
			n.killTarget()
		})
	}
}
