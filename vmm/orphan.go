package vmm

import (
	"errors"
	"fmt"
	"os"

	"github.com/ferryvmm/ferry/internal/ipc"
)

// Adopted is what a machine says of itself to the supervisor that takes its guest over. The lock of the guest's name is with it.
type Adopted struct {
	PID   int
	State State
}

// orphaned waits, while the guest goes on without a supervisor, for another one, or for the guest's end: then the answer is false. One is served at a
// time, and the next only once that has gone, so a machine never has two.
func (p *process) orphaned(listener *os.File) (adopted bool, e Ending) {
	if listener == nil {
		return false, <-p.ends
	}
	came := make(chan *ipc.Conn, 1)
	go func() {
		f, err := ipc.Accept(listener, 0, p.owner)
		if err != nil {
			if !errors.Is(err, os.ErrClosed) {
				p.log.Error("nobody can adopt the guest", "error", err)
			}
			return
		}
		came <- ipc.New(f, p.handle)
	}()
	select {
	case c := <-came:
		p.conn.now.Store(c)
		p.log.Info("another supervisor has come")
		return true, e
	case e = <-p.ends:
		listener.Close()
		return false, e
	}
}

// adoptBy hands the guest to the supervisor that asks.
func (p *process) adoptBy() (ipc.Reply, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.machine == nil || len(p.held) == 0 {
		return ipc.Reply{}, badState("no guest runs here", "")
	}
	lock, err := duplicate(p.held[len(p.held)-1]) // of the name that it has now
	if err != nil {
		return ipc.Reply{}, fmt.Errorf("the lock of the guest's name: %w", err)
	}
	return ipc.Reply{Body: Adopted{PID: os.Getpid(), State: p.machine.current()}, Files: []*os.File{lock}}, nil
}
