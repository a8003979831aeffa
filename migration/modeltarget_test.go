package migration

// target gives an event to the target and does all it decides, as receiver
// does. fail has the record fail; after lives more actions its machine is
// killed, unless that is negative. It returns how many actions there were.
func (m *model) target(in targetInput, fail bool, lives int) int {
	done := 0
	for more := true; more; {
		in.err = errModel
		acts, err := m.tgt.Step(in)
		if err != nil {
			acts, _ = m.tgt.Step(targetInput{event: gotFailed, err: err})
		}
		more = false
		for _, a := range acts {
			if done == lives {
				m.killTarget()
				return done
			}
			done++
			if next, ok := m.perform(a, fail); ok {
				in, more = targetInput{event: next}, true
			}
		}
	}
	if done == lives {
		m.killTarget()
	}
	return done
}

// perform does one action; ok says that it had an outcome.
func (m *model) perform(a targetAction, fail bool) (outcome targetEvent, ok bool) {
	say := map[targetAction]frameType{actSayReserved: frameReserved, actSayRefused: frameRefused, actAckRound: frameRoundAck,
		actSayPrepared: framePrepared, actSayRunning: frameRunning, actSayAbort: frameAbort, actSayPulled: framePulled, actSayFetch: frameFetch,
		actSayDelivered: frameDelivered}
	if f, ok := say[a]; ok {
		m.send(&m.toSrc, m.deadFrom, f)
		return 0, false
	}
	switch a {
	case actBuild:
		m.building = true
	case actRestore:
		return gotRestored, true
	case actRecord:
		if fail || m.record != wordReserved { // it has been decided otherwise meanwhile
			return gotRecordFailed, true
		}
		m.record = wordStarted
		return gotRecorded, true
	case actStart:
		m.tgtRuns, m.started = true, true
		return gotStarted, true
	case actDeliver:
		m.atTgt = true
	case actTombstone:
		if m.record == wordStarted {
			return gotTombstoneFailed, true
		}
		m.record = wordTombstone
		return gotTombstone, true
	case actFilled:
		m.record = wordComplete
	case actRemoveRecord:
		m.record = wordNone
	case actPart:
		m.deadTo, m.deadFrom, m.tgtKnows = true, true, true
	case actEnd:
		m.deadTo, m.deadFrom = true, true // what is under way still comes
		m.building = false
	}
	return 0, false
}

// killTarget kills the target's machine. Its supervisor buries the record.
func (m *model) killTarget() {
	m.tgtUp, m.tgtRuns, m.building = false, false, false
	m.deadTo, m.deadFrom = true, true
	m.toTgt, m.bulk = "", ""
	if m.tgtSup == 1 && m.record == wordReserved {
		m.record = wordTombstone
	}
}

// killSource kills the source's machine. Its supervisor forgets the move.
func (m *model) killSource() {
	m.srcUp, m.srcRuns, m.forwarding, m.pending, m.todo = false, false, false, false, ""
	m.deadTo, m.deadFrom = true, true
	m.toSrc = ""
	if m.srcSup {
		m.own = wordNone
	}
}
