package supervisor

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vmm/record"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// obeyWithin bounds how long a machine may take to act on a decision: it looks
// twice a second, and takes its disks back first.
const obeyWithin = 10 * time.Second

// Resolve decides, on a person's word, who owns the guest called name: its source
// or its target. It is given on the host whose copy is to be decided, and returns
// when the copy runs, or is gone. It refuses what a record or a peer that can be
// reached contradicts, and a guest of which nothing is in doubt.
func Resolve(ctx context.Context, dir, name string, owner api.Owner) error {
	c, err := Open(dir, name)
	var e *api.Error
	switch {
	case err == nil:
		return c.Resolve(ctx, api.ResolveRequest{Owner: owner})
	case errors.As(err, &e) && e.Code == api.CodeOrphaned:
		return resolveOrphan(ctx, dir, name, owner)
	case errors.As(err, &e) && e.Code == api.CodeNoSuchMachine:
		return resolveRecord(ctx, dir, name, owner, err)
	}
	return err
}

// resolve decides the move from here that is in doubt, and returns when the
// machine has acted on that.
func (s *supervisor) resolve(ctx context.Context, owner api.Owner) error {
	if err := owner.Check(); err != nil {
		return err
	}
	s.mu.Lock()
	d, state, name := s.leaving, s.state, s.name.name
	s.mu.Unlock()
	switch {
	case state == api.StateLost && owner == api.OwnerTarget:
		s.machine().kill()
		<-s.finished
		return nil
	case state == api.StateLost:
		return contradicted(name, "the target's record says that the guest was started there and killed: what is here is older")
	case state == api.StateRelinquished:
		return api.Errorf(api.CodeBadState, "try again in a moment", "the target of %q is being asked", name)
	case state != api.StateInDoubt || d == nil:
		return notInDoubt(name, state)
	}
	if err := d.resolve(ctx, name, owner); err != nil {
		return err
	}
	if owner == api.OwnerTarget {
		// Where the target misses memory that is here, it stays for it to come back for.
		return s.follow(ctx, nil, api.StateRelinquished)
	}
	return s.follow(ctx, api.Errorf(api.CodeBadState, "vmm logs", "the guest ended"), api.StateRunning, api.StatePaused)
}

// follow waits until the machine has acted on a decision: it is in one of some states, or,
// with the error given, is gone.
func (s *supervisor) follow(ctx context.Context, gone error, states ...api.State) error {
	late := time.NewTimer(obeyWithin)
	defer late.Stop()
	for {
		s.mu.Lock()
		state, changed := s.state, s.changed
		s.mu.Unlock()
		if slices.Contains(states, state) {
			return nil
		}
		select {
		case <-changed:
		case <-s.finished:
			return gone
		case <-late.C:
			return api.Errorf(api.CodeInternal, "look into its log: vmm logs "+s.name.name, "the decision is recorded, and the guest does not act on it")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func contradicted(name, why string) error {
	return api.Errorf("contradicted", "see where it runs: vmm ps on the target's host", "%q is not decided so: %s", name, why)
}

func notInDoubt(name string, state api.State) error {
	return api.Errorf(api.CodeBadState, "vmm ps", "%q is %s: nothing is in doubt", name, state)
}

// resolve records the word of a person, unless a record or the target says
// otherwise.
func (d *departure) resolve(ctx context.Context, name string, owner api.Owner) error {
	want, known := migration.NotStarted, d.ask(ctx)
	if owner == api.OwnerTarget {
		want = migration.Started
	}
	if known == migration.Unknown || known == migration.Pending {
		known = d.conclude(want, record.ByPerson)
	}
	switch known {
	case want:
		return nil
	case migration.NotStarted:
		return contradicted(name, "it did not start at its target, and never will: it goes on here by itself")
	case migration.Started:
		return contradicted(name, "it was started at its target")
	case migration.Lost:
		if owner == api.OwnerTarget {
			return nil
		}
		return contradicted(name, "it was started at its target and killed there: what is here is older")
	}
	return api.Errorf("record", "check the space and the rights of the folder of ownership records", "the decision about %q could not be recorded", name)
}

// resolveOrphan decides for a machine whose supervisor died: it looks at its
// record by itself.
func resolveOrphan(ctx context.Context, dir, name string, owner api.Owner) error {
	d, living, err := departureOf(dir, name)
	if err != nil {
		return err
	}
	if d == nil || !living {
		return notInDoubt(name, api.StateOrphaned)
	}
	s, err := readStatus(dir, name)
	if err != nil {
		return err
	}
	fd, err := unix.PidfdOpen(s.MachinePID, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := d.resolve(ctx, name, owner); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, obeyWithin)
	defer cancel()
	if owner == api.OwnerSource {
		return d.obeyed(ctx)
	}
	if err := pollUntilDead(ctx, fd); err != nil {
		return err
	}
	_, err = names(dir) // clears what it left
	return err
}

// obeyed waits until the machine of the move, which nobody else can ask, has let
// the record of it go.
func (d *departure) obeyed(ctx context.Context) error {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	f, err := record.Open(d.ledger.own, record.Source, d.query.Move)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		living, err := record.Living(f)
		if err != nil || !living {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// resolveRecord decides for a guest of which no process lives here. none is the
// error if there is no record of it either.
func resolveRecord(ctx context.Context, dir, name string, owner api.Owner, none error) error {
	d, _, err := departureOf(dir, name)
	if err != nil {
		return err
	}
	if d != nil { // this host was the source
		if owner == api.OwnerSource {
			return contradicted(name, "its processes here were killed, and its memory with them")
		}
		if err := d.resolve(ctx, name, owner); err != nil {
			return err
		}
		d.end()
		return nil
	}
	own, err := recordsPath(dir)
	if err != nil {
		return err
	}
	l := ledger{own: own}
	all, err := record.List(own, record.Target)
	if err != nil {
		return err
	}
	for _, r := range all {
		switch {
		case r.Name != name || r.Living || r.State == record.Ended:
		case owner == api.OwnerTarget && r.Started():
			return contradicted(name, "it was started here and killed: it is lost")
		case owner == api.OwnerTarget:
			return contradicted(name, "its processes here were killed, and its memory with them")
		case r.Started():
			return contradicted(name, "the record here says that it was started here")
		default:
			return l.entomb(r.Move)
		}
	}
	return none
}
