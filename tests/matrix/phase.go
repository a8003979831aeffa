package main

import (
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/tests/drive"
)

// phase is how far a move has come, as somebody on its link knows it.
type phase int

// The phases, in order.
const (
	pushing   phase = iota // the guest is the source's alone
	stopping               // likewise, and it stands still
	prepared               // the source has been told that it may commit
	committed              // the commit has left the source, and not reached the target
	deciding               // it has reached the target
	started                // the target has said that the guest runs there
	pulling                // the source knows it; pages are missing at the target
	tail                   // likewise, and the last ones may have come
	pulled                 // the target has said that none is missing
	over                   // the source knows all that there is to know
)

func (p phase) String() string {
	return [...]string{"pushing", "stopping", "prepared", "committed", "deciding", "started", "pulling", "tail", "pulled", "over"}[p]
}

// control is a boundary of the control connection.
func control(kind byte, answer, after bool) drive.Boundary {
	return drive.Boundary{Role: migration.RoleControl, Type: kind, Answer: answer, After: after}
}

// landmarks are the boundaries at which phases begin, the last one first.
var landmarks = []struct {
	at    drive.Boundary
	phase phase
}{
	{control(drive.FramePulled, true, true), over},
	{control(drive.FramePulled, true, false), pulled},
	{control(drive.FrameRunning, true, true), pulling},
	{control(drive.FrameRunning, true, false), started},
	{control(drive.FrameCommit, false, true), deciding},
	{control(drive.FrameCommit, false, false), committed},
	{control(drive.FramePrepared, true, true), prepared},
	{control(drive.FrameState, false, false), stopping},
}

// phaseOf is the phase of a move that has come to these boundaries.
func phaseOf(seen []drive.Boundary, m mode) phase {
	at := make(map[drive.Boundary]bool, len(seen))
	for _, b := range seen {
		at[b] = true
	}
	for _, l := range landmarks {
		if at[l.at] {
			if l.phase == pulling && !m.pulls {
				return over
			}
			return l.phase
		}
	}
	return pushing
}
