package supervisor

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/confine"
	"github.com/ferryvmm/ferry/internal/direct"
	"github.com/ferryvmm/ferry/internal/ipc"
	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// Confinement says how a machine process is confined.
type Confinement struct {
	Off  bool          // not at all: to look for faults
	User *confine.User // whose it is; nil: ours
	// Alone: this process does nothing but supervise one machine, and may give up what it does not need for that.
	Alone bool
}

// shed gives up what this process does not need any more, now that its guest runs and it starts no other machine.
func (s *supervisor) shed() {
	if s.confinement.Off || !s.confinement.Alone {
		return
	}
	// Files where only root may open them, at any time; its machine, whosever that is; and threads of that.
	keep := []int{unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH, unix.CAP_KILL, unix.CAP_SYS_NICE}
	s.mu.Lock()
	devices := s.attached.works()
	s.mu.Unlock()
	networks := false
	for _, d := range devices {
		if d.Kind != vmm.KindNet {
			continue
		}
		networks = true
		if keep = append(keep, unix.CAP_NET_ADMIN); d.Net.Parent != "" {
			keep = append(keep, unix.CAP_SYS_ADMIN) // a macvtap is in a network of its own
		}
	}
	// A hook of the site may do whatever root may.
	hooks := s.guard.hook != "" || networks && s.hooks.some()
	if err := confine.Shed(keep, hooks); err != nil {
		s.log.Info("the supervisor keeps what it does not need", "error", err)
	}
}

// ParseUser reads NAME or UID, and :GID behind it. Without a group it is the user's own.
func ParseUser(s string) (*confine.User, error) {
	const remedy = "name a user of this host, or give its number and :GID"
	name, group, hasGroup := strings.Cut(s, ":")
	u := &confine.User{}
	var known *user.User
	var err error
	if u.UID, err = number(name); err == nil {
		known, err = user.LookupId(name)
		if err != nil && !hasGroup {
			return nil, api.Errorf(api.CodeUsage, remedy, "user %s: which group? this host does not know it", name)
		}
	} else if known, err = user.Lookup(name); err != nil {
		return nil, api.Errorf(api.CodeUsage, remedy, "user %q: %v", name, err)
	} else if u.UID, err = number(known.Uid); err != nil {
		return nil, api.Errorf(api.CodeUsage, remedy, "user %q: %v", name, err)
	}
	if !hasGroup {
		group = known.Gid
	}
	if u.GID, err = number(group); err != nil {
		return nil, api.Errorf(api.CodeUsage, remedy, "user %q: its group is no number: %v", s, err)
	}
	return u, nil
}

// number reads the id of a user or a group. The last one means none to the kernel.
func number(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err == nil && n == 1<<32-1 {
		err = fmt.Errorf("%d is nobody's", n)
	}
	return int(n), err
}

// prefer has the kernel run a thread of the machine before others, which has no capability for that itself. The word of
// the machine is not enough for it to be one of its own.
func (s *supervisor) prefer(r *ipc.Request) error {
	var tid int
	if err := r.Decode(&tid); err != nil {
		return err
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d", s.machine().pid, tid)); err != nil {
		return err
	}
	return direct.Prefer(tid)
}

// prepare makes ahead what starting a machine needs.
func (c Confinement) prepare() {
	if !c.Off {
		confine.Prepare()
	}
}

// confinedBy says by what a machine process is confined.
func confinedBy(a *confine.Applied) []string {
	if a == nil {
		return []string{"none"}
	}
	w := []string{"seccomp", "no-capabilities", fmt.Sprintf("user-%d-%d", a.User.UID, a.User.GID)}
	if a.Landlock > 0 {
		w = append(w, fmt.Sprintf("landlock-%d", a.Landlock))
	}
	if a.EmptyRoot {
		w = append(w, "empty-root")
	}
	if a.EmptyNetwork {
		w = append(w, "empty-network")
	}
	return w
}
