package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// answerWithin bounds how long a listing waits for one supervisor.
const answerWithin = 2 * time.Second

// List returns the machines of a state folder, by name, and clears what dead
// ones left. Behind them come guests that were killed here while it was in doubt
// who owns them: nothing is left of those but their records. Where nobody else
// lives who could, it asks what became of a move.
func List(dir string) ([]api.Machine, error) {
	names, err := names(dir)
	if err != nil {
		return nil, err
	}
	machines := make([]api.Machine, 0, len(names))
	for _, n := range names {
		if m, ok := look(dir, n); ok {
			if m.State == api.StateInDoubt && m.SupervisorPID == 0 {
				tend(dir, n)
			}
			machines = append(machines, m)
		}
	}
	return append(machines, ghosts(dir, names)...), nil
}

// names returns the names that a living process holds.
func names(dir string) ([]string, error) {
	var living []string
	err := withDirLock(dir, func() error {
		locks, err := filepath.Glob(filepath.Join(dir, "*.lock"))
		if err != nil {
			return err
		}
		for _, l := range locks {
			s := strings.TrimSuffix(filepath.Base(l), ".lock")
			if s == "" { // the folder's own lock
				continue
			}
			n, err := claimLocked(dir, s)
			switch {
			case errors.Is(err, errNameTaken):
				living = append(living, s)
			case err == nil: // nobody is left: its files are a dead machine's
				os.Remove(n.path("lock"))
				n.lock.Close()
			}
		}
		return nil
	})
	sort.Strings(living)
	return living, err
}

// look describes one living machine; false while it starts or ends.
func look(dir, name string) (api.Machine, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	m, err := api.NewClient(pathOf(dir, name, "sock")).Machine(ctx)
	if err == nil {
		return m, true
	}
	s, err := readStatus(dir, name)
	if err != nil || processLives(s.SupervisorPID) || !processLives(s.MachinePID) {
		return api.Machine{}, false
	}
	state := api.StateOrphaned
	if d, living, err := departureOf(dir, name); err == nil && d != nil && living {
		state = api.StateInDoubt
	}
	return api.Machine{
		Name: name, State: state, PID: s.MachinePID, CPUs: s.CPUs,
		MemoryBytes: s.MemoryBytes, StartedAt: s.StartedAt, UptimeMS: api.Milliseconds(time.Since(s.StartedAt)),
		Socket: pathOf(dir, name, "sock"), Devices: []api.Device{},
	}, true
}

// processLives tells whether a process that holds a machine's name still runs.
// A number that was given to another process since does not matter: the name's
// lock is held, so one of the two processes that it names is alive.
func processLives(pid int) bool {
	if pid <= 0 {
		return false
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return err == nil && n == 0
}

// Open returns a client of the machine called name. The error is an *api.Error
// of code no_such_machine, or orphaned when its supervisor died.
func Open(dir, name string) (*api.Client, error) {
	if err := api.CheckName(name); err != nil {
		return nil, err
	}
	living, err := names(dir)
	if err != nil {
		return nil, err
	}
	for _, n := range living {
		if n != name {
			continue
		}
		m, ok := look(dir, name)
		if !ok {
			return nil, api.Errorf(api.CodeBadState, "try again in a moment", "machine %q is just starting or ending", name)
		}
		if m.SupervisorPID == 0 {
			return nil, api.Errorf(api.CodeOrphaned, "take it over: vmm adopt "+name+", or end it: vmm kill "+name,
				"the supervisor of %q died; the guest runs on in process %d, but can be neither asked nor moved", name, m.PID)
		}
		return api.NewClient(m.Socket), nil
	}
	return nil, api.Errorf(api.CodeNoSuchMachine, "vmm ps", "there is no machine named %q in %s", name, dir)
}

// Kill ends a machine at once, also one whose supervisor died. It returns when
// the machine's process and files are gone.
func Kill(dir, name string) error {
	c, err := Open(dir, name)
	var e *api.Error
	if errors.As(err, &e) && e.Code == api.CodeOrphaned {
		return killOrphan(dir, name)
	}
	if errors.As(err, &e) && e.Code == api.CodeNoSuchMachine && forgetGhosts(dir, name) {
		return nil
	}
	if err != nil {
		return err
	}
	w, err := NewWatch(c)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := c.Kill(context.Background()); err != nil {
		return err
	}
	return w.Wait(context.Background())
}

// killOrphan ends a machine process without a supervisor and clears its files.
func killOrphan(dir, name string) error {
	s, err := readStatus(dir, name)
	if err != nil {
		return fmt.Errorf("finding the process of %s: %w", name, err)
	}
	fd, err := unix.PidfdOpen(s.MachinePID, 0)
	if err == nil {
		defer unix.Close(fd)
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return api.Errorf("permission", "run vmm as the user who started it", "killing process %d of %q: %v", s.MachinePID, name, err)
		}
		if err := pollUntilDead(context.Background(), fd); err != nil {
			return err
		}
	}
	n, err := claim(dir, name) // also proves that nobody holds it any more
	if err != nil {
		return err
	}
	n.release(false)
	forgetGhosts(dir, name)
	return nil
}
