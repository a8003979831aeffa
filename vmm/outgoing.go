package vmm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/ferryvmm/ferry/internal/ipc"
	"github.com/ferryvmm/ferry/internal/resident"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vmm/record"
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
	compress := migration.CompressAuto
	if q.Compress != "" {
		if compress, err = migration.ParseCompression(q.Compress); err != nil {
			return ipc.Reply{}, err
		}
	}
	v, err := m.beginMove()
	if err != nil {
		return ipc.Reply{}, err
	}
	left := false
	release := resident.Hold()
	defer func() {
		if v.end(left); !left { // else it all goes with this process
			release()
		}
	}()
	v.word = word{files.take(RoleRecord)}
	if v.word.file == nil {
		return ipc.Reply{}, errors.New("no ownership record was handed over")
	}
	if q.Wait {
		v.resume = make(chan struct{})
	}
	if v.local = q.Local; !v.local {
		v.token = imageToken(q.Move)
		defer m.backs.forget(v.token)
		if err := m.backs.witness(v.token); err != nil {
			return ipc.Reply{}, err
		}
	}
	control, bulk, err := moveConns(files, q.Sessions)
	if err != nil {
		return ipc.Reply{}, err
	}
	d, err := m.describe(m.plan.Moves + 1)
	if err != nil {
		return ipc.Reply{}, err
	}
	if v.local {
		mode, q.Bandwidth = migration.Local, 0
		if d.Handed, err = m.handOver(files); err != nil {
			return ipc.Reply{}, err
		}
	}
	query := migration.Query{Move: q.Move, Epoch: q.Epoch}
	result, err := migration.Send(m.closing, v.sending(migration.SendConfig{
		Network: v.forward(p.leaveNetwork), Images: m.backs.shared(),
		Control: control, Bulk: bulk, Move: q.Move, Epoch: q.Epoch,
		Guest: v, Memory: m.instance.memory, Description: d, Blobs: m.images.readers(),
		Mode: mode, DowntimeLimit: q.DowntimeLimit, Bandwidth: q.Bandwidth, Channels: q.Channels, Compress: compress, Throttle: q.Throttle, Timeout: q.Timeout,
		Cancel: v.cancel, Continue: v.resume, Progress: v.follow(p.progress), Accepted: began,
		Dial: func(ctx context.Context) (net.Conn, error) { return p.reach(ctx) },
		Ask: func(ctx context.Context) (migration.Answer, error) {
			return v.word.ask(ctx, func(ctx context.Context) (a migration.Answer, err error) {
				_, err = p.conn.Call(ctx, MethodAsk, query, &a)
				return a, err
			})
		},
	}))
	result.ModeRequested = q.Mode
	if result.PathReason != "" {
		m.log.Info("memory was copied on its way to the network", "why", result.PathReason)
	}
	outcome := v.outcome(result, err)
	switch result.Outcome {
	case migration.OutcomeCompleted:
		left, outcome.Left = true, true
		v.word.moved()
		if v.local {
			m.leaveBehind()
		}
		ending := Ending{Code: 0, Reason: "moved to " + q.Target, Handed: v.local}
		if v.word.by() != record.ByTarget {
			ending = Ending{Code: 3, Reason: "resolved away: a person decided that the guest runs at " + q.Target}
		}
		defer p.end(ending)
	case migration.OutcomeLost: // its memory stays, for who wants to look into it
		left = true
		v.lose()
	case migration.OutcomeInDoubt: // the guest stays as it is: paused, nobody's
		left = true
	}
	return ipc.Reply{Body: outcome}, nil
}

// leaveNetwork has the supervisor part the guest's taps from the network.
func (p *process) leaveNetwork(ctx context.Context) error {
	_, err := p.conn.Call(ctx, MethodLeave, nil, nil)
	return err
}

// reach makes a further connection to the target.
func (p *process) reach(ctx context.Context) (net.Conn, error) {
	var r Reached
	files, err := p.conn.Call(ctx, MethodReach, nil, &r)
	if err != nil {
		return nil, err
	}
	if len(files) != 1 {
		return nil, fmt.Errorf("dialling the target: got %d files; want 1", len(files))
	}
	defer files[0].Close()
	return socketConn(files[0], r.Session)
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
	defer v.end(false)
	d, err := m.describe(m.plan.Moves)
	if err != nil {
		return ipc.Reply{}, err
	}
	result, err := migration.Save(m.closing, v.saving(migration.SaveConfig{
		Stream: r.Files[0], Guest: v, Memory: m.instance.memory, Description: d, Blobs: m.images.readers(),
		Mode: migration.Precopy, Cancel: v.cancel, Progress: p.progress, Accepted: began,
	}))
	if err != nil {
		err = snapshotError(err)
	}
	return ipc.Reply{Body: v.outcome(result, err)}, nil
}

// progress passes a report on to the supervisor.
func (p *process) progress(r migration.Progress) { _ = p.conn.Notify(NoteProgress, r) }
