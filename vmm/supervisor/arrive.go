package supervisor

import (
	"os"

	"github.com/ferryvmm/ferry/internal/ipc"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// arriving answers the machine which name the guest that wants in will have:
// its own, if none was given here. The claim becomes ours when the guest runs.
func (s *supervisor) arriving(r *ipc.Request) (ipc.Reply, error) {
	var a vmm.Arriving
	if err := r.Decode(&a); err != nil {
		return ipc.Reply{}, err
	}
	if !a.Handed {
		if err := checkCapacity(a.MemoryBytes, a.HugePages); err != nil {
			return ipc.Reply{}, crossing(err)
		}
	}
	at, err := s.places.open(a, s.hooks)
	if err != nil {
		return ipc.Reply{}, crossing(err)
	}
	s.attach(at)
	var files handOver
	files.take(&at.files)
	name, heir, err := s.claimFor(a, r.Files, &files)
	if err != nil {
		files.close()
		return ipc.Reply{}, crossing(err)
	}
	if !a.Handed { // else it is here already
		if err := at.network().reserve(name); err != nil {
			files.close()
			return ipc.Reply{}, crossing(err)
		}
	}
	if a.Move != (migration.MoveID{}) { // not from a snapshot
		if err := s.guard.ledger.describe(a.Move, name, s.listensWhere()); err != nil {
			s.log.Warn("noting the guest's name in its ownership record", "error", err)
		}
	}
	return ipc.Reply{Body: vmm.Claimed{Name: name, Devices: at.devices, Roles: files.roles, Heir: heir}, Files: files.files}, nil
}

// claimFor returns the name that the guest will have here, and adds the lock of
// one that is newly claimed. came is the lock of the guest's name at its source, if
// that handed it over: in this state folder the name stays the guest's, which heir tells.
func (s *supervisor) claimFor(a vmm.Arriving, came []*os.File, files *handOver) (name string, heir bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.guest = a
	if !s.renames {
		return s.name.name, false, nil
	}
	n := inheritedName(s.dir, a.Name, came)
	if heir = n != nil; !heir {
		if n, err = claimAny(s.dir, a.Name, a.Name+"-%d"); err != nil {
			return "", false, err
		}
	}
	s.claimed, s.heir = n, heir
	if !heir {
		// Should this process die before the guest runs, the guest is found by its own name.
		if err := s.describeAs(n, a.CPUs, a.MemoryBytes); err != nil {
			return "", false, err
		}
		os.Remove(s.name.path("json"))
	}
	lock, err := dup(n.lock) // shares the description, and so the lock
	if err != nil {
		return "", false, err
	}
	files.add(vmm.RoleName, lock)
	return n.name, heir, nil
}

// attach keeps what a guest works on here, until detach.
func (s *supervisor) attach(a *attachments) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attached = a
}

// detach gives back what a guest worked on, or would have.
func (s *supervisor) detach() {
	s.mu.Lock()
	a := s.attached
	s.attached = nil
	s.mu.Unlock()
	a.close()
}

// settle gives the machine the name that was claimed for its guest.
func (s *supervisor) settle() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.claimed; n != nil {
		old := s.name
		for _, ext := range []string{"sock", "ipc", "log"} {
			if err := os.Rename(old.path(ext), n.path(ext)); err != nil {
				return err
			}
		}
		s.name, s.claimed = n, nil
		old.release(false)
		s.tellStateLocked()
	}
	return s.describeLocked(s.guest.CPUs, s.guest.MemoryBytes)
}

// unclaim gives up the name of a guest that did not come, and what was opened for it.
func (s *supervisor) unclaim() {
	s.detach()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claimed != nil {
		s.claimed.giveUp(false)
		s.claimed = nil
	}
}

// guestRuns notes that the guest that arrived is ours now: it runs, or is paused.
func (s *supervisor) guestRuns(r *ipc.Request) error {
	var st string
	if err := r.Decode(&st); err != nil {
		return err
	}
	s.mu.Lock()
	at, heir, guest := s.attached, s.heir, s.guest.Name
	s.mu.Unlock()
	at.network().activate(guest, s.log) // first of all: it is late already
	s.setFirst(api.State(st))
	at.handedOver()
	if err := at.serve(s); err != nil {
		s.log.Error("the sockets of the guest's devices", "error", err)
	}
	if heir {
		return nil // its source still answers by that name, until MethodSettle
	}
	return s.inherit()
}

// inherit takes the name of a guest that runs here, and tells that it does.
func (s *supervisor) inherit() error {
	if err := s.settle(); err != nil {
		// The guest runs all the same; it keeps the name of the receiver.
		s.log.Error("taking the guest's name", "error", err)
	}
	s.mu.Lock()
	f := s.arrived
	s.mu.Unlock()
	if f != nil {
		f()
	}
	return nil
}

// quitWaiting ends a receiver that no guest runs in; false if one does.
func (s *supervisor) quitWaiting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.quit == nil || !s.startedAt.IsZero() {
		return false
	}
	s.quit()
	return true
}

// mayStop refuses to stop a guest that stands still for a move. While memory is
// sent the guest can be asked, and its end ends the move.
func (s *supervisor) mayStop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state {
	case api.StateInDoubt:
		return api.Errorf(api.CodeBadState, "vmm migrate "+s.name.name+" --resolve source|target, or vmm kill "+s.name.name,
			"%q is %s", s.name.name, s.state)
	case api.StateWaiting, api.StateRelinquished, api.StateServing:
		return api.Errorf(api.CodeBadState, "see what becomes of its move: vmm migrate "+s.name.name+" --cancel, or vmm kill "+s.name.name,
			"%q is %s", s.name.name, s.state)
	}
	return nil
}
