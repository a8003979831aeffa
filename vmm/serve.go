package vmm

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"time"

	"github.com/ferryvmm/ferry/internal/direct"
	"github.com/ferryvmm/ferry/internal/ipc"
	"github.com/ferryvmm/ferry/migration"
)

// answerWithin bounds how long a machine that ends waits for its last answers
// to be sent.
const answerWithin = time.Second

// Serve is the machine process: it does what its supervisor asks over the
// socket until its guest has ended, and returns the process's exit status. It
// opens no path and no socket: every descriptor is handed to it. lock is kept
// open for as long as the process lives.
//
// When the supervisor dies a running guest goes on, and another, of the user owner or of root,
// may come to the listener, of [ipc.Listen]; a process that runs none ends.
func Serve(socket, lock, listener *os.File, owner uint32) int {
	p := &process{
		log:  slog.New(slog.NewTextHandler(os.Stderr, nil)).With("process", "machine"),
		ends: make(chan Ending, 1), joined: make(chan migration.Joined, migration.MaxLater),
		fetch: make(chan struct{}), ended: make(chan struct{}), owner: owner,
	}
	p.held = append(p.held, lock)
	p.up.Add(1)
	p.conn.now.Store(ipc.New(socket, p.handle))
	p.up.Done()
	direct.Patron(func(tid int) { _ = p.conn.Notify(NoteThread, tid) })
	end := p.wait(listener)
	p.farewell()
	if m := p.current(); m != nil {
		p.over()
		m.close()
	}
	// The supervisor learns the ending before the process's death tells less.
	_, _ = p.conn.Call(context.Background(), MethodEnded, end, nil)
	p.conn.end(answerWithin)
	runtime.KeepAlive(p.held)
	return 0
}

// wait returns when the guest has ended, or when the supervisor is gone while
// none runs.
func (p *process) wait(listener *os.File) Ending {
	for {
		select {
		case e := <-p.ends:
			return e
		case <-p.conn.Done():
		}
		p.taking.Wait() // a guest that is being taken in may be ours already
		if m := p.current(); m == nil || !m.alive() {
			return Ending{Code: 1, Reason: "the supervisor died"}
		}
		p.log.Warn("the supervisor died; the guest runs on")
		if adopted, e := p.orphaned(listener); !adopted {
			return e
		}
	}
}

// handle serves one call or notification of the supervisor.
func (p *process) handle(ctx context.Context, r *ipc.Request) (ipc.Reply, error) {
	p.up.Wait()
	defer r.CloseFiles()
	switch r.Method {
	case MethodBoot:
		return p.boot(r)
	case MethodReceive:
		return p.receive(ctx, r)
	case MethodRestore:
		return p.restore(ctx, r)
	case MethodJoin:
		return p.join(r)
	case MethodAdopt:
		return p.adoptBy()
	}
	m := p.current()
	if m == nil {
		return ipc.Reply{}, &ipc.Error{Code: "bad_state", Message: "no guest runs here yet", Remedy: "wait until it does"}
	}
	switch r.Method {
	case MethodInfo:
		return ipc.Reply{Body: m.facts()}, nil
	case MethodPause:
		return ipc.Reply{}, m.Pause(ctx)
	case MethodResume:
		return ipc.Reply{}, m.Resume()
	case MethodBalloon:
		var b Balloon
		if err := r.Decode(&b); err != nil {
			return ipc.Reply{}, err
		}
		return ipc.Reply{}, m.Inflate(b.MemoryBytes)
	case MethodDirtyRate:
		var q DirtyRate
		if err := r.Decode(&q); err != nil {
			return ipc.Reply{}, err
		}
		rate, err := m.dirtyRate(ctx, q)
		return ipc.Reply{Body: rate}, err
	case MethodStop:
		return ipc.Reply{}, m.AskToStop()
	case MethodEnd:
		var e Ending
		if err := r.Decode(&e); err != nil {
			return ipc.Reply{}, err
		}
		p.end(e)
		return ipc.Reply{}, nil
	case MethodMigrate:
		return p.migrate(r)
	case MethodBereave:
		m.bereave()
		return ipc.Reply{}, nil
	case MethodFetch:
		return ipc.Reply{}, p.fetchAll(ctx, m)
	case MethodCancel:
		return ipc.Reply{}, m.cancelMove()
	case MethodContinue:
		return ipc.Reply{}, m.continueMove()
	case MethodSnapshot:
		return p.snapshot(r)
	case MethodConsole, MethodVirtioConsole, MethodVsock:
		if len(r.Files) != 1 {
			return ipc.Reply{}, fmt.Errorf("%s: got %d files; want 1", r.Method, len(r.Files))
		}
		f := r.Files[0]
		r.Files = nil
		return ipc.Reply{}, m.join(r.Method, f)
	}
	return ipc.Reply{}, fmt.Errorf("the supervisor asked %q", r.Method)
}
