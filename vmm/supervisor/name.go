package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// name is a machine's claim on its name in a state folder. It holds as long as
// any process has the lock file's description open: the supervisor and the
// machine share one, so a guest whose supervisor died keeps its name.
type name struct {
	dir  string
	name string
	lock *os.File
}

// path returns the machine's file with the ending ext: sock, lock, json, log.
func (n *name) path(ext string) string { return pathOf(n.dir, n.name, ext) }

func pathOf(dir, name, ext string) string { return filepath.Join(dir, name+"."+ext) }

// errNameTaken: another machine has the name; choose one, or end that machine.
var errNameTaken = errors.New("name in use")

// claim takes the name s, after clearing what a dead owner left.
func claim(dir, s string) (*name, error) {
	if err := api.CheckName(s); err != nil {
		return nil, err
	}
	var n *name
	err := withDirLock(dir, func() (err error) {
		n, err = claimLocked(dir, s)
		return err
	})
	if errors.Is(err, errNameTaken) {
		return nil, api.Errorf(api.CodeNameInUse, "choose another --name, or end that machine: vmm stop "+s, "a machine named %q runs already", s)
	}
	return n, err
}

// claimAny takes base or, if that is taken, the first free name that next, a
// format for the numbers from 2 on, gives.
func claimAny(dir, base, next string) (*name, error) {
	if err := api.CheckName(base); err != nil {
		return nil, err
	}
	var n *name
	err := withDirLock(dir, func() (err error) {
		s := base
		for i := 2; ; i++ {
			n, err = claimLocked(dir, s)
			if !errors.Is(err, errNameTaken) {
				return err
			}
			s = fmt.Sprintf(next, i)
		}
	})
	return n, err
}

// claimLocked takes a name. Precondition: the folder's lock is held.
func claimLocked(dir, s string) (*name, error) {
	lock, err := os.OpenFile(pathOf(dir, s, "lock"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, noDir(err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errNameTaken
		}
		return nil, fmt.Errorf("locking name %s: %w", s, err)
	}
	n := &name{dir: dir, name: s, lock: lock}
	n.clear()
	return n, nil
}

// clear removes the files that only a living machine has, and what else they tell of.
func (n *name) clear() {
	if s, err := readStatus(n.dir, n.name); err == nil {
		_ = s.unroute() // who may not, leaves it to who may
	}
	for _, ext := range []string{"sock", "ipc", "json", "json.tmp"} { // the last of one who died while writing it
		os.Remove(n.path(ext))
	}
}

// release gives the name up and removes its files. The log is kept where it
// can tell a person why the machine failed.
func (n *name) release(keepLog bool) {
	_ = withDirLock(n.dir, func() error {
		n.clear()
		if !keepLog {
			os.Remove(n.path("log"))
		}
		os.Remove(n.path("lock"))
		return n.lock.Close()
	})
}
