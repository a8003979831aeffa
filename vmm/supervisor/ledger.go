package supervisor

import (
	"errors"
	"fmt"
	"os"

	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vmm/record"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// ledger is where a host keeps its ownership records.
type ledger struct {
	own    string // folder of this host's
	shared string // folder that both hosts of a move see; empty: none
}

// newLedger opens the records of the state folder dir, and those in shared.
func newLedger(dir, shared string) (ledger, error) {
	own, err := recordsDir(dir)
	if err != nil {
		return ledger{}, err
	}
	l := ledger{own: own}
	if shared == "" {
		return l, nil
	}
	const remedy = "give --shared-records a folder on storage that both hosts see, and that you may write to"
	f, err := os.CreateTemp(shared, ".probe-")
	if err != nil {
		return l, api.Errorf("shared_records", remedy, "shared records: %v", err)
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return l, api.Errorf("shared_records", remedy, "shared records: %v", err)
	}
	l.shared = shared
	return l, nil
}

// forTargets is the folder of the records of moves to this host.
func (l ledger) forTargets() string {
	if l.shared != "" {
		return l.shared
	}
	return l.own
}

// folders are those where the record of a move to this host may be.
func (l ledger) folders() []string {
	if l.shared != "" {
		return []string{l.shared, l.own}
	}
	return []string{l.own}
}

// settle says what became of a commit to this host, from its durable record. It
// decides what is not decided: whoever asks has given the move up, and so the
// guest must not start here behind the answer.
func (l ledger) settle(q migration.Query) migration.Answer {
	for _, dir := range l.folders() {
		if a := settleIn(dir, q); a != migration.Unknown {
			return a
		}
	}
	return migration.Unknown
}

func settleIn(dir string, q migration.Query) migration.Answer {
	f, err := record.Open(dir, record.Target, q.Move)
	if err != nil {
		return migration.Unknown
	}
	defer f.Close()
	if r, err := record.Read(f); err != nil || r.Epoch != q.Epoch {
		return migration.Unknown
	}
	switch err := record.Decide(f, record.Tombstone, record.ByTarget); {
	case err == nil:
		return migration.NotStarted
	case !errors.Is(err, record.ErrDecided):
		return migration.Unknown
	}
	// In this order: who ends in order says so before it lets the record go.
	living, err := record.Living(f)
	if err != nil {
		return migration.Started
	}
	r, err := record.Read(f)
	switch {
	case err != nil:
		return migration.Unknown
	case r.State != record.Ended && !living:
		return migration.Lost
	}
	return migration.Started
}

// whole says what the records know of a guest that came with memory missing, and
// whose machine is not here any more: the answer is a Refusal.
func (l ledger) whole(q migration.Query) *migration.Refusal {
	for _, dir := range l.folders() {
		if r := wholeIn(dir, q); r != nil {
			return r
		}
	}
	return &migration.Refusal{Code: "unknown_move", Message: "the guest of this move is not here"}
}

func wholeIn(dir string, q migration.Query) *migration.Refusal {
	f, err := record.Open(dir, record.Target, q.Move)
	if err != nil {
		return nil
	}
	defer f.Close()
	living, lifeErr := record.Living(f)
	r, err := record.Read(f)
	switch {
	case err != nil || r.Epoch != q.Epoch:
	case r.State == record.Complete || r.State == record.Ended:
		return &migration.Refusal{Code: migration.CodeComplete, Message: "the guest needs nothing from its source any more"}
	case r.State == record.Started && lifeErr == nil && !living:
		return &migration.Refusal{Code: migration.CodeLost, Message: "the machine of the guest is dead, and it had not all of its memory"}
	}
	return nil
}

// mayAsk tells whether the source of a move to this host may still come with a
// question: its record is not removed, and does not say that the guest ended in order.
func (l ledger) mayAsk(q migration.Query) bool {
	r, err := record.Find(l.forTargets(), record.Target, q.Move)
	return err == nil && r.Epoch == q.Epoch && (r.State == record.Started || r.State == record.Complete)
}

// entomb makes durable that a move to this host will never be started.
func (l ledger) entomb(move migration.MoveID) error {
	f, err := record.Open(l.forTargets(), record.Target, move)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := record.Decide(f, record.Tombstone, record.ByTarget); err != nil {
		return fmt.Errorf("the outcome of a move could not be recorded: %w", err)
	}
	return nil
}

// describe adds to the record of a move to this host whose guest it is.
func (l ledger) describe(move migration.MoveID, name, address string) error {
	f, err := record.Open(l.forTargets(), record.Target, move)
	if err != nil {
		return err
	}
	defer f.Close()
	return record.Describe(f, name, address)
}
