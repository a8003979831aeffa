package main

import "slices"

// end is how a cell ends, once the link is healed and, where both processes of the
// target were killed, a later receiver listens at its address.
type end int

// The ends. In the first three the guest survives.
const (
	atSource end = iota // it runs there, the move has failed
	atTarget            // it runs there, and nothing is left at the source
	divided             // it runs at the target, and the source serves it on
	lost                // the target was killed; the older copy at the source is kept, lost
	bereaved            // the source was killed; the target is kept, lost
	waiting             // both of the source were killed: nobody can tell the target, which waits
	dead                // the only owner was killed
)

func (e end) String() string {
	return [...]string{"source", "target", "divided", "lost", "bereaved", "waiting", "dead"}[e]
}

// survives tells whether the guest does.
func (e end) survives() bool { return e <= divided }

// A row is what may become of a move that a fault hits in one phase, by fault. Where
// there are two ends, the fault races with a message that is on its way; each of the
// two is right, and both together are wrong.
type row map[string][]end

func only(e ...end) []end { return e }

// cuts is a row's part for the three ways to cut a link.
func cuts(r row, e ...end) row {
	for _, name := range []string{"reset", "silence", "half-open"} {
		r[name] = e
	}
	return r
}

// whole is the expectation for moves that leave no pages behind.
var whole = map[phase]row{
	pushing: cuts(row{
		"source-machine": only(dead), "source-both": only(dead), "source-supervisor": only(atTarget),
		"target-machine": only(atSource), "target-both": only(atSource), "target-supervisor": only(atSource),
	}, atSource),
	// A target's machine may have the guest before it notices that it is alone.
	stopping: cuts(row{
		"source-machine": only(dead), "source-both": only(dead), "source-supervisor": only(atTarget),
		"target-machine": only(atSource), "target-both": only(atSource), "target-supervisor": only(atSource, atTarget),
	}, atSource),
	// The commit may leave, and then is not lost with who sent it.
	prepared: cuts(row{
		"source-machine": only(dead, atTarget), "source-both": only(dead, atTarget), "source-supervisor": only(atTarget),
		"target-machine": only(atSource), "target-both": only(atSource), "target-supervisor": only(atSource, atTarget),
	}, atSource),
	// It is on its way: who is killed here was killed before it left.
	committed: cuts(row{
		"source-machine": only(dead), "source-both": only(dead), "source-supervisor": only(atTarget),
		"target-machine": only(atSource), "target-both": only(atSource), "target-supervisor": only(atSource, atTarget),
	}, atSource),
	// The target makes it durable, and may have said so.
	deciding: cuts(row{
		"source-machine": only(dead, atTarget), "source-both": only(dead, atTarget), "source-supervisor": only(atTarget),
		"target-machine": only(atSource, lost, dead), "target-both": only(atSource, lost, dead), "target-supervisor": only(atSource, atTarget),
	}, atSource, atTarget),
	// Who is killed here was killed before it said that it runs the guest.
	started: cuts(row{
		"source-machine": only(atTarget), "source-both": only(atTarget), "source-supervisor": only(atTarget),
		"target-machine": only(lost), "target-both": only(lost), "target-supervisor": only(atTarget),
	}, atTarget),
	over: cuts(row{
		"source-machine": only(atTarget), "source-both": only(atTarget), "source-supervisor": only(atTarget),
		"target-machine": only(dead), "target-both": only(dead), "target-supervisor": only(atTarget),
	}, atTarget),
}

// parted is the expectation for moves that leave pages behind, from where that matters.
var parted = map[phase]row{
	prepared: cuts(row{
		"source-machine": only(dead, bereaved), "source-both": only(dead, waiting), "source-supervisor": only(atTarget),
		"target-machine": only(atSource), "target-both": only(atSource), "target-supervisor": only(atSource, atTarget),
	}, atSource),
	deciding: cuts(row{
		"source-machine": only(dead, bereaved), "source-both": only(dead, waiting), "source-supervisor": only(atTarget),
		"target-machine": only(atSource, lost), "target-both": only(atSource, lost), "target-supervisor": only(atSource, atTarget),
	}, atSource, atTarget),
	started: cuts(row{
		"source-machine": only(bereaved), "source-both": only(waiting), "source-supervisor": only(atTarget),
		"target-machine": only(lost), "target-both": only(lost), "target-supervisor": only(atTarget),
	}, atTarget),
	pulling: cuts(row{
		"source-machine": only(bereaved), "source-both": only(waiting), "source-supervisor": only(atTarget),
		"target-machine": only(lost), "target-both": only(lost), "target-supervisor": only(atTarget),
	}, atTarget),
	tail: cuts(row{
		"source-machine": only(bereaved, atTarget), "source-both": only(waiting, atTarget), "source-supervisor": only(atTarget),
		"target-machine": only(lost, dead), "target-both": only(lost, dead), "target-supervisor": only(atTarget),
	}, atTarget),
	pulled: cuts(row{
		"source-machine": only(atTarget), "source-both": only(atTarget), "source-supervisor": only(atTarget),
		"target-machine": only(dead), "target-both": only(dead), "target-supervisor": only(atTarget),
	}, atTarget),
}

// expected are the ends that a fault may lead to in a phase.
func expected(m mode, p phase, f fault) []end {
	if m.pulls {
		if r, ok := parted[p]; ok {
			if m.stays && f.name == "target-supervisor" && p >= deciding && p < over {
				// Nobody can be asked to fetch the rest.
				return append(slices.Clone(r[f.name]), divided)
			}
			return r[f.name]
		}
	}
	return whole[p][f.name]
}

// doubtful tells whether a fault in that phase must leave the source in doubt until
// the link is healed or a later receiver answers.
func doubtful(p phase, f fault) bool {
	switch p {
	case committed, started:
		return f.cut != 0 || f.name == "target-both"
	}
	return false
}

// codes are the exit codes that vmm migrate may end with.
func codes(m mode, p phase, f fault, e end) []int {
	switch {
	case m.stays && p == pulling && e != atTarget:
		return []int{0, 3} // it may have returned when the guest ran at the target
	case m.stays && p >= tail && !(p == over && f.kills(source)):
		return []int{0}
	case f.kills(source) && (p >= pulled || m.stays && p == pulling):
		return []int{0, 3} // it may have heard of the end
	case f.kills(source):
		return []int{3} // who could tell it is dead
	}
	switch e {
	case atSource:
		return []int{1}
	case lost, bereaved, waiting:
		return []int{3}
	}
	return []int{0}
}
