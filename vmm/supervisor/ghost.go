package supervisor

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vmm/record"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// leftBehind are the records of moves from here in which the guest was handed
// over, and has neither gone on here nor been forgotten.
func leftBehind(dir string) ([]record.Found, ledger, error) {
	own, err := recordsPath(dir)
	if err != nil {
		return nil, ledger{}, err
	}
	all, err := record.List(own, record.Source)
	return slices.DeleteFunc(all, func(r record.Found) bool { return !r.Handed }), ledger{own: own}, err
}

// departureFrom is the move of a record, for who is not its supervisor.
func departureFrom(r record.Found, l ledger) (*departure, error) {
	addr, err := api.ParseAddress(r.Address)
	if err != nil {
		return nil, err
	}
	return &departure{query: migration.Query{Move: r.Move, Epoch: r.Epoch}, target: place{address: addr, tls: r.TLS}, ledger: l, log: slog.New(slog.DiscardHandler)}, nil
}

// departureOf finds the move in doubt of a guest whose supervisor died, by its
// record; nil if there is none.
func departureOf(dir, name string) (d *departure, living bool, err error) {
	all, l, err := leftBehind(dir)
	if err != nil {
		return nil, false, err
	}
	for _, r := range all {
		if r.Name == name && !r.Decided() {
			d, err := departureFrom(r, l)
			return d, r.Living, err
		}
	}
	return nil, false, nil
}

// tend asks what became of the move of a machine whose supervisor died. The
// machine looks at its record by itself. A move that may still be in its switchover is
// left alone: the question would end it.
func tend(dir, name string) {
	if d, living, err := departureOf(dir, name); err == nil && d != nil && living && d.handedFor() > switchWithin {
		d.ask(context.Background())
	}
}

// switchWithin is longer than a switchover takes whose peers are silent for as long as they may.
const switchWithin = 3 * time.Second

// handedFor is how long ago the guest was handed over, as the record's file says; 0 if
// that cannot be told.
func (d *departure) handedFor() time.Duration {
	f, err := record.Open(d.ledger.own, record.Source, d.query.Move)
	if err != nil {
		return 0
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0
	}
	return time.Since(st.ModTime())
}

// ghosts are the guests of which nothing is left here but the record of a move:
// in doubt, or lost, if the target says that it did not start them. A guest that
// it did start is forgotten here. Those whose name another machine has are not listed.
func ghosts(dir string, living []string) []api.Machine {
	all, l, err := leftBehind(dir)
	if err != nil {
		return nil
	}
	var gone []api.Machine
	for _, r := range all {
		if r.Living || slices.Contains(living, r.Name) {
			continue
		}
		d, err := departureFrom(r, l)
		if err != nil {
			continue
		}
		state := api.StateInDoubt
		switch d.ask(context.Background()) {
		case migration.Started, migration.Lost:
			d.end()
			continue
		case migration.NotStarted:
			state = api.StateLost
		}
		gone = append(gone, api.Machine{Name: r.Name, State: state, Devices: []api.Device{}})
	}
	return gone
}

// forgetGhosts removes the records of a guest of which nothing else is left here;
// false if there are none.
func forgetGhosts(dir, name string) bool {
	all, l, err := leftBehind(dir)
	if err != nil {
		return false
	}
	some := false
	for _, r := range all {
		if r.Name == name && !r.Living {
			some = record.Remove(l.own, record.Source, r.Move) == nil || some
		}
	}
	return some
}
