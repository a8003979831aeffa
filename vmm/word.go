package vmm

import (
	"context"
	"os"

	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vmm/record"
)

// word is the source's own record of its move: what this host knows of who owns
// the guest. The supervisor decides it; the machine obeys it, also when no
// supervisor lives any more.
type word struct{ file *os.File }

// handed notes whether a commit may have left. That it cannot be noted harms
// nobody: only people look at it.
func (w word) handed(yes bool) {
	if w.file != nil {
		_ = record.Hand(w.file, yes)
	}
}

// moved notes that the guest is the target's: should the supervisor die before it
// has removed the record, a later vmm does not take the guest for one in doubt.
func (w word) moved() { _ = record.Note(w.file, record.Started, record.ByTarget) }

// answer is what the record says of the commit.
func (w word) answer() migration.Answer {
	switch r, err := record.Read(w.file); {
	case err != nil:
		return migration.Unknown
	case r.State == record.Tombstone:
		return migration.NotStarted
	case r.Started():
		return migration.Started
	}
	return migration.Unknown
}

// by is on whose word the move was decided.
func (w word) by() record.By {
	r, err := record.Read(w.file)
	if err != nil {
		return record.ByTarget
	}
	return r.By
}

// ask learns what became of the commit: from the supervisor, or, without one,
// from the record, in which any later vmm may have decided it.
func (w word) ask(ctx context.Context, supervisor func(context.Context) (migration.Answer, error)) (migration.Answer, error) {
	a, err := supervisor(ctx)
	if err != nil {
		return w.answer(), nil
	}
	return a, nil
}

// explain says in a result on whose word the move was decided, where it was not
// the target's.
func (w word) explain(r migration.Result) migration.Result {
	by := w.by()
	switch {
	case by == record.ByTarget:
	case r.Outcome == migration.OutcomeCompleted:
		// Whether it runs there is not known here.
		r.Outcome, r.TargetName, r.Reason = migration.OutcomeInDoubt, "", "resolved: a person decided that the guest is the target's"
	case by == record.ByFence:
		r.Reason = "the target was fenced"
	default:
		r.Reason = "resolved: a person decided that the guest is the source's"
	}
	return r
}
