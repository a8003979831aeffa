package supervisor

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/ipc"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vmm"
)

// later is a connection of a move that came after its first two.
type later struct {
	role migration.Role
	conn stream
}

// pass gives the connections that come later to the machine, until done.
func (r *receiver) pass(p *process, at *attempt, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case l := <-at.later:
			f, session, err := socketOf(l.conn)
			l.conn.Close()
			if err == nil {
				_, err = p.conn.Call(context.Background(), vmm.MethodJoin, vmm.Join{Role: l.role, Session: session}, nil, f)
			}
			if err != nil {
				r.s.log.Warn("handing a connection to the machine", "role", l.role, "error", err)
			}
		}
	}
}

// reach connects to the target of the move under way once more.
func (s *supervisor) reach(ctx context.Context) (ipc.Reply, error) {
	s.mu.Lock()
	d := s.leaving
	s.mu.Unlock()
	if d == nil {
		return ipc.Reply{}, errors.New("the machine dials a target, and no move is under way")
	}
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	conn, err := d.target.connect(ctx)
	if err != nil {
		s.unmet.Warn("reaching the target of a move once more", "error", err) // a certificate may be over: who renews it helps
		return ipc.Reply{}, err
	}
	defer conn.Close()
	f, session, err := socketOf(conn)
	if err != nil {
		return ipc.Reply{}, err
	}
	return ipc.Reply{Body: vmm.Reached{Session: session}, Files: []*os.File{f}}, nil
}

// openUserfault opens what a guest with memory missing needs. If it cannot be had, the
// answer is why.
func openUserfault(h *handOver) (why string) {
	f, err := os.OpenFile("/dev/userfaultfd", os.O_RDWR|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "its kernel has no /dev/userfaultfd (Linux 6.1 with CONFIG_USERFAULTFD)"
	case errors.Is(err, os.ErrPermission):
		return "/dev/userfaultfd may not be opened by this user"
	case err != nil:
		return err.Error()
	}
	h.add(vmm.RoleUserfault, f)
	return ""
}
