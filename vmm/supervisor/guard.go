package supervisor

// Guard is what keeps a guest from running on two hosts where the target of a
// move cannot be asked.
type Guard struct {
	// FenceHook is the path of a program that fences the target of a move in
	// doubt; empty: none.
	FenceHook string
	// SharedRecords is a folder that both hosts of a move see, for the records of
	// moves to this host, and in which those of moves from here are looked for;
	// empty: none.
	SharedRecords string
}

// guarded is a Guard that was found usable.
type guarded struct {
	hook   string // absolute; empty: none
	ledger ledger
}

// given is what it was made of.
func (g guarded) given() Guard { return Guard{FenceHook: g.hook, SharedRecords: g.ledger.shared} }

// check wants everything of the guard of a guest in the state folder dir to be
// there, and usable.
func (g Guard) check(dir string) (guarded, error) {
	hook, err := checkHook(g.FenceHook)
	if err != nil {
		return guarded{}, err
	}
	l, err := newLedger(dir, g.SharedRecords)
	return guarded{hook: hook, ledger: l}, err
}
