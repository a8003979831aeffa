package supervisor

import (
	"context"
	"time"

	"github.com/ferryvmm/ferry/internal/ipc"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/record"
)

const (
	// obituaryWithin bounds how long a supervisor whose machine died in a pull goes
	// on, to let the other host know.
	obituaryWithin = 5 * time.Second
	// heardWithin is longer than a source waits before it comes again.
	heardWithin = 3 * time.Second
	// obituaryEvery is the least time between two attempts to say it.
	obituaryEvery = 500 * time.Millisecond
)

// lastWords lets the other host of a pull know that the machine here is dead: a
// link that is lost would keep it waiting.
func (s *supervisor) lastWords() {
	s.mu.Lock()
	d, mourn := s.leaving, s.mourn
	pulling, inOrder := s.pulling, s.ended != nil
	s.mu.Unlock()
	switch {
	case inOrder:
	case d != nil && (pulling || d.handed()):
		d.report()
	case d == nil && mourn != nil:
		mourn()
	}
}

// handed tells whether the commit may have left.
func (d *departure) handed() bool {
	r, err := record.Find(d.ledger.own, record.Source, d.query.Move)
	return err == nil && r.Handed
}

// killed is the outcome of a move whose machine died here.
func (d *departure) killed(mode string) vmm.Outcome {
	r := migration.Result{Outcome: migration.OutcomeLost, Mode: mode, ModeRequested: mode, Reason: "the machine process died"}
	e := &ipc.Error{Code: "killed", Message: "the machine process died in the move, and the guest with it", Remedy: "start the guest anew"}
	if d.handed() {
		r.Outcome = migration.OutcomeInDoubt
		e.Message = "the machine process died behind the commit: what the guest's target has of it is not known here"
		e.Remedy = "see what became of the guest: vmm ps on the target"
	}
	return vmm.Outcome{Result: r, Error: e}
}

// report tells the target that the source's machine is dead.
func (d *departure) report() {
	ctx, cancel := context.WithTimeout(context.Background(), obituaryWithin)
	defer cancel()
	for {
		err := d.say(ctx)
		if err == nil {
			return
		}
		d.log.Warn("telling the target that the source's machine is dead", "error", err)
		select {
		case <-time.After(obituaryEvery):
		case <-ctx.Done():
			return
		}
	}
}

func (d *departure) say(ctx context.Context) error {
	conn, err := d.target.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return migration.Bereave(ctx, conn, d.query)
}

// bereave tells the machine that the source of its guest is dead.
func (r *receiver) bereave(ctx context.Context) error {
	_, err := r.s.call(ctx, vmm.MethodBereave, nil, nil)
	return err
}

// mourn lets the source come back once more, and hear that the machine is dead.
func (r *receiver) mourn() {
	a := r.acceptor
	a.mu.Lock()
	at := a.arrived
	a.mu.Unlock()
	if at == nil || !r.s.guard.ledger.mayAsk(migration.Query{Move: at.hello.Move, Epoch: at.hello.Epoch}) {
		return
	}
	t := time.NewTimer(obituaryWithin)
	defer t.Stop()
	select {
	case <-a.told:
		// It may not have heard: it comes again within its patience.
		t.Reset(heardWithin)
		<-t.C
	case <-t.C:
	}
}

// notePhase notes whether the move under way is a pull.
func (s *supervisor) notePhase(p migration.Phase) {
	switch p {
	case migration.PhasePull, migration.PhaseServe, migration.PhaseRejoin:
		s.mu.Lock()
		s.pulling = true
		s.mu.Unlock()
	}
}
