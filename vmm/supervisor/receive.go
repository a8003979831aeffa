package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/record"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// ReceiveConfig is what `vmm receive` was asked for.
type ReceiveConfig struct {
	Dir      string // state folder, of Dir
	Name     string // empty: receive-PORT or the socket's base name, then the guest's own name or NAME-2
	Listen   string // tcp:HOST:PORT or unix:PATH
	Console  Console
	Places   Places
	Tracking vmm.Tracking
	// TLS is the folder, absolute, of this host's identity, and Allow the names of hosts that may come, none: all of the authority. Empty:
	// nothing is encrypted, and Insecure is required to listen elsewhere than on a loopback address.
	TLS      string
	Allow    []string
	Insecure bool
	Guard    Guard
	// Confinement is that of the machine processes.
	Confinement Confinement
	// Listening is called once with the real address.
	Listening func(addr string)
	// Started is called once a guest runs.
	Started func(api.Started)
}

// Receive waits for a guest, takes it in and supervises it to its end. A move
// that fails is logged, and the next one awaited. An error means that it could
// not listen; ctx ends the waiting, or asks the guest to stop.
func Receive(ctx context.Context, c ReceiveConfig) (Exit, error) {
	at, err := newPlace(c.Listen, c.TLS, c.Insecure)
	if err != nil {
		return Exit{Code: 1}, err
	}
	l, addr, err := listen(at)
	if err != nil {
		return Exit{Code: 1}, err
	}
	defer l.Close()
	guard, err := c.Guard.check(c.Dir)
	if err != nil {
		return Exit{Code: 1}, err
	}
	var probe handOver // a host without KVM is told now, not at the first move
	err = openKVM(&probe)
	probe.close()
	if err != nil {
		return Exit{Code: 1}, err
	}
	n, err := claimOr(c.Dir, c.Name, receiverName(addr))
	if err != nil {
		return Exit{Code: 1}, err
	}
	s, err := newSupervisor(n, c.Console)
	if err != nil {
		return Exit{Code: 1}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.renames, s.places, s.tracking, s.guard, s.confinement = c.Name == "", c.Places, c.Tracking, guard, c.Confinement
	c.Confinement.prepare()
	s.listensAt(addr.String(), cancel)
	var entrance *door
	if c.TLS != "" {
		entrance = newDoor(c.TLS, c.Allow, s.log)
	}
	r := &receiver{s: s, acceptor: newAcceptor(l, entrance, guard.ledger, s.log), started: c.Started, ran: make(chan struct{})}
	defer r.acceptor.close()
	r.acceptor.mourns(r.bereave)
	s.mourn = r.mourn
	s.prepare()
	if c.Listening != nil {
		c.Listening(addr.String())
	}
	tell(report{Started: &api.Started{Listening: addr.String(), Name: n.name, PID: os.Getpid(), Socket: n.path("sock")}})
	for {
		err := r.next(ctx)
		if err == nil {
			return s.wait(ctx), nil
		}
		if ctx.Err() != nil {
			return s.finish(Exit{Code: 0, Reason: "stopped"}), nil
		}
		s.prepare()
		s.failed(err)
		s.log.Warn("a move failed; listening on", "error", err)
		fmt.Fprintf(os.Stderr, "vmm: a move failed: %v; listening on\n", err)
	}
}

// receiverName is the name of a receiver that was given none.
func receiverName(a api.Address) string {
	if !a.Local() {
		return fmt.Sprintf("receive-%d", a.Port)
	}
	name := filepath.Base(a.Path)
	if api.CheckName(name) != nil {
		return "receive"
	}
	return name
}

// receiver takes in guests until one runs.
type receiver struct {
	s        *supervisor
	acceptor *acceptor
	started  func(api.Started)
	ran      chan struct{} // closed when a guest runs here
}

// next takes the next attempt; nil means that a guest runs here.
func (r *receiver) next(ctx context.Context) error {
	at, bulk, err := r.acceptor.next(ctx)
	if err != nil {
		return err
	}
	r.s.attempted()
	ran := false
	defer func() {
		r.acceptor.done(ran)
		if !ran {
			r.s.unclaim()
			r.s.setState(api.StateReceiving)
		}
	}()
	var files handOver
	defer files.close()
	if err := errors.Join(files.addConn(vmm.RoleControl, at.control), files.addConn(vmm.RoleBulk, bulk)); err != nil {
		return err
	}
	if err := openKVM(&files); err != nil {
		return err
	}
	oath, err := record.Create(r.s.guard.ledger.forTargets(), record.Target, record.Record{Move: at.hello.Move, Epoch: at.hello.Epoch})
	if err != nil {
		return err
	}
	files.add(vmm.RoleRecord, oath)
	err = r.take(ctx, at, &files)
	select {
	case <-r.ran:
		ran = true
		return nil
	default:
	}
	return err
}

// take has a machine process of its own take the guest in. It returns when the
// guest runs, or when nothing of the attempt is left.
func (r *receiver) take(ctx context.Context, at *attempt, files *handOver) error {
	s := r.s
	p, err := s.launch(files, 0, 0)
	if err != nil {
		// No process has seen the move, and its source was told nothing.
		return errors.Join(err, record.Remove(s.guard.ledger.forTargets(), record.Target, at.hello.Move))
	}
	ended := make(chan error, 1)
	var arrival vmm.Arrival
	in := vmm.Incoming{Hello: at.hello, Tracking: s.tracking, NoUserfault: openUserfault(files)}
	in.Roles, in.Sessions = files.roles, files.sessions
	over := make(chan struct{})
	go r.pass(p, at, over)
	s.onRuns(func() {
		s.ends.handedOver()
		s.mu.Lock()
		s.listening = ""
		s.mu.Unlock()
		notifyStarted(r.started, s.runs(over))
		close(r.ran)
	})
	go func() {
		_, err := p.conn.Call(context.WithoutCancel(ctx), vmm.MethodReceive, in, &arrival, files.files...)
		close(over)
		if err == nil && arrival.Forget {
			// The source never asks about this move again.
			if err := record.Remove(s.guard.ledger.forTargets(), record.Target, at.hello.Move); err != nil {
				s.log.Warn("removing an ownership record", "error", err)
			}
		}
		if err == nil && arrival.Failure != nil {
			err = arrival.Failure
		}
		if err == nil && arrival.Forget {
			r.acceptor.listener.Close() // released: there is nothing left to answer
		}
		ended <- fromMachine(err)
	}()
	select {
	case <-r.ran:
		return nil
	case <-ctx.Done():
		p.kill()
		err = <-ended
	case err = <-ended:
		select {
		case <-r.ran: // it ran, and the move has ended already
			return nil
		default:
		}
		p.kill()
	}
	p.end()
	s.noMachine()
	r.bury(at)
	if err == nil {
		err = errors.New("the machine process ended")
	}
	return err
}

// bury settles the record of an attempt whose machine process is gone: no
// process is left that could start this guest. That is durable now, in case its
// source committed and asks. A record that says otherwise stays as it is.
func (r *receiver) bury(at *attempt) {
	err := r.s.guard.ledger.entomb(at.hello.Move)
	if err != nil && !errors.Is(err, record.ErrNone) && !errors.Is(err, record.ErrDecided) {
		r.s.log.Error("the record of a move that failed", "error", err)
	}
}
