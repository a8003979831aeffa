package vmm

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/ferryvmm/ferry/internal/ipc"
	"github.com/ferryvmm/ferry/migration"
)

// migrate sends the guest away. The process ends when it has left.
func (p *process) migrate(r *ipc.Request) (ipc.Reply, error) {
	began := time.Now()
	var q Migrate
	if err := r.Decode(&q); err != nil {
		return ipc.Reply{}, err
	}
	files := takeFiles(r, q.Roles)
	defer files.close()
	m := p.current()
	mode, err := migration.ParseMode(q.Mode)
	if err != nil {
		return ipc.Reply{}, err
	}
	if m.isPaused() {
		return ipc.Reply{}, badState("the guest is paused; this version moves running guests only", "resume it first: vmm resume "+m.plan.Name)
	}
	v, err := m.beginMove()
	if err != nil {
		return ipc.Reply{}, err
	}
	v.token = imageToken(q.Move)
	defer m.backs.forget(v.token)
	if err := m.backs.witness(v.token); err != nil {
		v.end()
		return ipc.Reply{}, err
	}
	control, bulk, err := moveConns(files)
	if err != nil {
		v.end()
		return ipc.Reply{}, err
	}
	d, err := m.describe(m.plan.Moves + 1)
	if err != nil {
		v.end()
		return ipc.Reply{}, err
	}
	query := migration.Query{Move: q.Move, Epoch: q.Epoch}
	result, err := migration.Send(context.Background(), v.sending(migration.SendConfig{
		Control: control, Bulk: bulk, Move: q.Move, Epoch: q.Epoch,
		Guest: v, Memory: m.instance.memory, Description: d, Blobs: m.images.readers(),
		Mode: mode, DowntimeLimit: q.DowntimeLimit, Timeout: q.Timeout,
		Cancel: v.cancel, Progress: v.follow(p.progress), Accepted: began,
		Ask: func(ctx context.Context) (migration.Answer, error) {
			var a migration.Answer
			_, err := p.conn.Call(ctx, MethodAsk, query, &a)
			return a, err
		},
	}))
	outcome := Outcome{Result: v.reason(result)}
	if err != nil {
		outcome.Error = crossing(err)
	}
	switch result.Outcome {
	case migration.OutcomeCompleted:
		defer p.end(Ending{Code: 0, Reason: "moved to " + q.Target})
	case migration.OutcomeLost:
		defer p.end(Ending{Code: 3, Reason: "lost: " + result.Reason})
	case migration.OutcomeInDoubt: // the guest stays as it is: paused, nobody's
	default:
		v.end()
	}
	return ipc.Reply{Body: outcome}, nil
}

// snapshot writes a copy of the guest to the file that came.
func (p *process) snapshot(r *ipc.Request) (ipc.Reply, error) {
	began := time.Now()
	if len(r.Files) != 1 {
		return ipc.Reply{}, fmt.Errorf("snapshot: got %d files; want 1", len(r.Files))
	}
	m := p.current()
	v, err := m.beginMove()
	if err != nil {
		return ipc.Reply{}, err
	}
	defer v.end()
	d, err := m.describe(m.plan.Moves)
	if err != nil {
		return ipc.Reply{}, err
	}
	result, err := migration.Save(context.Background(), v.saving(migration.SaveConfig{
		Stream: r.Files[0], Guest: v, Memory: m.instance.memory, Description: d, Blobs: m.images.readers(),
		Mode: migration.Precopy, Cancel: v.cancel, Progress: p.progress, Accepted: began,
	}))
	outcome := Outcome{Result: v.reason(result)}
	if err != nil {
		outcome.Error = crossing(snapshotError(err))
	}
	return ipc.Reply{Body: outcome}, nil
}

// progress passes a report on to the supervisor.
func (p *process) progress(r migration.Progress) { _ = p.conn.Notify(NoteProgress, r) }

// connOf makes a connection of a socket that was handed over.
func connOf(files fileSet, role string) (net.Conn, error) {
	f := files.take(role)
	if f == nil {
		return nil, fmt.Errorf("no %s connection was handed over", role)
	}
	defer f.Close()
	return net.FileConn(f)
}

// moveConns makes the connections of a move of the sockets that were handed over.
func moveConns(files fileSet) (control, bulk net.Conn, err error) {
	if control, err = connOf(files, RoleControl); err != nil {
		return nil, nil, err
	}
	if bulk, err = connOf(files, RoleBulk); err != nil {
		control.Close()
		return nil, nil, err
	}
	return control, bulk, nil
}
