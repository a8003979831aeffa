package vmm

import (
	"context"
	"fmt"

	"github.com/ferryvmm/ferry/internal/ipc"
	"github.com/ferryvmm/ferry/internal/resident"
	"github.com/ferryvmm/ferry/migration"
)

// incoming prepares a target for the guest that a request announces. The
// caller closes the files that are left.
func (p *process) incoming(r *ipc.Request) (*target, Incoming, fileSet, error) {
	var in Incoming
	if err := r.Decode(&in); err != nil {
		return nil, in, nil, err
	}
	files := takeFiles(r, in.Roles)
	sys, err := openSystem(files)
	if err != nil {
		files.close()
		return nil, in, nil, err
	}
	t := &target{p: p, sys: sys, track: in.Tracking, console: openConsole(files), userfault: files.take(RoleUserfault), noUserfault: in.NoUserfault}
	if in.Hello.Move != (migration.MoveID{}) {
		t.move, t.token = in.Hello.Move, imageToken(in.Hello.Move)
	}
	return t, in, files, nil
}

// receive takes a guest in from a source.
func (p *process) receive(ctx context.Context, r *ipc.Request) (ipc.Reply, error) {
	p.taking.Add(1)
	defer p.taking.Done()
	defer resident.Hold()()
	t, in, files, err := p.incoming(r)
	if err != nil {
		return ipc.Reply{}, err
	}
	defer files.close()
	control, bulk, err := moveConns(files, in.Sessions)
	if err != nil {
		return ipc.Reply{}, err
	}
	t.record = files.take(RoleRecord)
	defer t.unlessStarted()
	oath := &oath{file: t.record}
	_, err = migration.Receive(ctx, migration.ReceiveConfig{
		Control: control, Bulk: bulk, Hello: in.Hello, Host: t, Record: oath,
		Joined: p.joined, Fetch: p.fetch, Ended: p.ended, Progress: t.follow, Broken: t.broken, Settle: t.settled,
	})
	arrival := Arrival{Forget: oath.forget.Load()}
	if err != nil && !t.runs.Load() {
		arrival.Failure = crossing(err)
	}
	return ipc.Reply{Body: arrival}, nil
}

// join takes a further connection of the move that a guest comes by.
func (p *process) join(r *ipc.Request) (ipc.Reply, error) {
	var j Join
	if err := r.Decode(&j); err != nil {
		return ipc.Reply{}, err
	}
	if len(r.Files) != 1 {
		return ipc.Reply{}, fmt.Errorf("join: got %d files; want 1", len(r.Files))
	}
	conn, err := socketConn(r.Files[0], j.Session)
	if err != nil {
		return ipc.Reply{}, err
	}
	select {
	case p.joined <- migration.Joined{Role: j.Role, Conn: conn}:
	default: // more than any move has
		conn.Close()
	}
	return ipc.Reply{}, nil
}

// restore takes a guest from a snapshot.
func (p *process) restore(ctx context.Context, r *ipc.Request) (ipc.Reply, error) {
	p.taking.Add(1)
	defer p.taking.Done()
	t, _, files, err := p.incoming(r)
	if err != nil {
		return ipc.Reply{}, err
	}
	defer files.close()
	_, err = migration.Restore(ctx, files[RoleStream], t)
	t.settled()
	if err != nil {
		return ipc.Reply{}, streamFailure(err)
	}
	return ipc.Reply{Body: Arrival{Forget: true}}, nil
}
