package supervisor

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// A guest that is handed to another process of its host keeps its name where that process
// has the same state folder: both share the description of the name's lock for a while, and
// so the name is never free.

// handName adds the lock of the machine's name to what goes with its guest.
func (s *supervisor) handName(files *handOver) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	lock, err := dup(s.name.lock)
	if err != nil {
		return err
	}
	files.add(vmm.RoleName, lock)
	return nil
}

// inheritedName is the name s if came is the lock that keeps it in dir, else nil.
func inheritedName(dir, s string, came []*os.File) *name {
	if len(came) != 1 || api.CheckName(s) != nil {
		return nil
	}
	var theirs, ours unix.Stat_t
	if unix.Fstat(int(came[0].Fd()), &theirs) != nil || unix.Stat(pathOf(dir, s, "lock"), &ours) != nil {
		return nil
	}
	if theirs.Dev != ours.Dev || theirs.Ino != ours.Ino {
		return nil
	}
	// It has the lock already, unless another has it.
	if unix.Flock(int(came[0].Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil
	}
	lock, err := dup(came[0])
	if err != nil {
		return nil
	}
	return &name{dir: dir, name: s, lock: lock}
}

// giveUp is release, but for a name that somebody else has too: then its files are his.
func (n *name) giveUp(keepLog bool) {
	shared := false
	_ = withDirLock(n.dir, func() error {
		n.lock.Close()
		var err error
		if n.lock, err = os.OpenFile(n.path("lock"), os.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
			shared = true // it is removed already
			return nil
		}
		shared = errors.Is(unix.Flock(int(n.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
		return nil
	})
	if shared {
		n.lock.Close()
		return
	}
	n.release(keepLog)
}
