package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/ferryvmm/ferry/internal/ipc"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vmm/record"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// firstEpoch is the epoch of every commit. A move that is tried again is another
// move, with an id of its own: its record is decided once, so nothing that was
// said about one attempt can be taken for another. The epoch would tell commits
// of one move apart, and a move has one.
const firstEpoch = 1

// askWithin bounds one question about a commit.
const askWithin = 2 * time.Second

// departure is a move from this host. Its own record says what this host has
// learnt, and outlives this process: it is decided before the machine acts on it.
type departure struct {
	query  migration.Query
	target place
	ledger ledger
	log    *slog.Logger
	fence  *fencing // nil: there is no hook
}

// depart makes the record of a move to a target. The file is the machine's.
func (s *supervisor) depart(to place) (*departure, *os.File, error) {
	if n := len(to.address.String()) + len(to.tls); n > record.MaxPlace {
		return nil, nil, api.Errorf(api.CodeTLS, "move the folder to a place with a shorter path", "the path of --tls does not fit into an ownership record: it and the address may have %d bytes, and have %d", record.MaxPlace, n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving != nil {
		return nil, nil, api.Errorf(api.CodeBadState, "wait until it has ended, or cancel it: vmm migrate "+s.name.name+" --cancel", "%q is being moved already", s.name.name)
	}
	d := &departure{
		query: migration.Query{Move: migration.NewMoveID(), Epoch: firstEpoch}, target: to, ledger: s.guard.ledger, log: s.log,
	}
	if s.guard.hook != "" {
		d.fence = newFencing(s.guard.hook, s.logFile, d)
	}
	f, err := record.Create(d.ledger.own, record.Source, record.Record{
		Move: d.query.Move, Epoch: d.query.Epoch, Name: s.name.name, Address: to.address.String(), TLS: to.tls,
	})
	if err != nil {
		return nil, nil, api.Errorf("record", "check the space and the rights of the folder of ownership records", "%v", err)
	}
	s.leaving = d
	if err := s.attached.network().mark(d.query.Move.String()); err != nil {
		s.log.Warn("marking the guest's taps", "error", err) // a target on the same bridge will refuse it
	}
	return d, f, nil
}

// departed forgets a move that has ended.
func (s *supervisor) departed(d *departure) {
	s.mu.Lock()
	if s.leaving == d {
		s.leaving = nil
	}
	at := s.attached
	s.mu.Unlock()
	if err := at.network().mark(""); err != nil {
		s.log.Warn("taking the marks from the guest's taps", "error", err)
	}
	d.end()
}

// end forgets the move, unless its record holds what nobody else knows: the word
// of a person, or of a fencing hook.
func (d *departure) end() {
	if d.fence != nil {
		d.fence.stop()
	}
	r, err := record.Find(d.ledger.own, record.Source, d.query.Move)
	if errors.Is(err, record.ErrNone) {
		return
	}
	if err == nil && r.By == record.ByTarget {
		err = record.Remove(d.ledger.own, record.Source, d.query.Move)
	}
	if err != nil {
		d.log.Warn("the ownership record of a move from here", "error", err)
	}
}

// ask learns what became of a commit, for the machine.
func (s *supervisor) ask(ctx context.Context, r *ipc.Request) (ipc.Reply, error) {
	var q migration.Query
	if err := r.Decode(&q); err != nil {
		return ipc.Reply{}, err
	}
	s.mu.Lock()
	d := s.leaving
	s.mu.Unlock()
	if d == nil || d.query != q {
		return ipc.Reply{}, fmt.Errorf("no move %v, epoch %d, is under way", q.Move, q.Epoch)
	}
	return ipc.Reply{Body: d.ask(ctx)}, nil
}

// ask learns what became of the commit. What it says is durable here, unless it
// proves nothing.
func (d *departure) ask(ctx context.Context) migration.Answer {
	if a := d.learnt(); a != migration.Unknown {
		return a
	}
	a := d.askPeer(ctx)
	switch a {
	case migration.Started, migration.NotStarted, migration.Lost:
		return d.conclude(a, record.ByTarget)
	case migration.Unknown:
		if d.fence != nil {
			d.fence.due()
		}
	}
	return a
}

// learnt is what this host knows already.
func (d *departure) learnt() migration.Answer {
	r, err := record.Find(d.ledger.own, record.Source, d.query.Move)
	switch {
	case err != nil:
		return migration.Unknown
	case r.State == record.Tombstone:
		return migration.NotStarted
	case r.Started():
		return migration.Started
	}
	return migration.Unknown
}

// askPeer asks the record that both hosts see, if there is one, then the target.
func (d *departure) askPeer(ctx context.Context) migration.Answer {
	if d.ledger.shared != "" {
		if a := settleIn(d.ledger.shared, d.query); a != migration.Unknown {
			return a
		}
	}
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	conn, err := d.target.connect(ctx)
	if err != nil {
		d.log.Info("the target could not be asked about a commit", "move", d.query.Move, "error", err)
		return migration.Unknown
	}
	defer conn.Close()
	a, err := migration.AskPeer(ctx, conn, d.query)
	if err != nil {
		d.log.Info("the target was asked about a commit, in vain", "move", d.query.Move, "error", err)
		return migration.Unknown
	}
	return a
}

// conclude makes durable what was learnt, or decided, and returns what holds
// from now on: another decision, if that came first.
func (d *departure) conclude(a migration.Answer, by record.By) migration.Answer {
	state := record.Started
	if a == migration.NotStarted {
		state = record.Tombstone
	}
	err := d.decide(state, by)
	switch {
	case err == nil:
		d.log.Info("a commit is decided", "move", d.query.Move, "answer", a, "by", by)
		return a
	case errors.Is(err, record.ErrDecided):
		return d.learnt()
	}
	d.log.Error("what became of a commit could not be recorded", "move", d.query.Move, "answer", a, "error", err)
	if by == record.ByTarget {
		return a // its own record proves it
	}
	return migration.Unknown
}

func (d *departure) decide(s record.State, by record.By) error {
	f, err := record.Open(d.ledger.own, record.Source, d.query.Move)
	if err != nil {
		return err
	}
	defer f.Close()
	return record.Decide(f, s, by)
}
