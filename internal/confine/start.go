package confine

import (
	"debug/elf"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"

	"golang.org/x/sys/unix"
)

// User is whose a process is to be.
type User struct{ UID, GID int }

// ErrUser means that this process may not start another as the user that was asked for: run it as root.
var ErrUser = errors.New("only root may start a machine as another user")

// ErrDynamic means that this program needs libraries, which the process that it starts cannot reach any more: build it with CGO_ENABLED=0.
var ErrDynamic = errors.New("this vmm was linked dynamically, and a confined machine process can load no libraries")

// Applied is what a process was confined by when it was started. What is not there this host, or this user, does not
// allow, for the reasons in Missing.
type Applied struct {
	Landlock     int  // version of the ABI; 0: none
	EmptyRoot    bool // its root is an empty folder that exists no more
	EmptyNetwork bool
	User         User
	Missing      []error
}

// Start starts cmd, this very program again, confined as far as this host allows. cmd.Path is ignored, and cmd.Dir must be
// empty: the program finds itself in a folder outside of its root, and goes to its root by [Enter]. asUser may be nil: the
// same user. Errors: ErrUser, ErrDynamic.
func Start(cmd *exec.Cmd, asUser *User) (Applied, error) {
	b := birth{cmd: cmd, user: asUser}
	var err error
	// What this process itself was started with, and does not know of, goes no further.
	if err := unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		b.lacks("closing what it does not know", err)
	}
	done := make(chan struct{})
	go onThread(func() {
		defer close(done)
		err = b.run()
	})
	<-done
	if err != nil && dynamic("/proc/self/exe") {
		err = fmt.Errorf("%w: %w", ErrDynamic, err)
	}
	return b.applied, err
}

// birth is the start of one process, on the thread that gives all up.
type birth struct {
	cmd     *exec.Cmd
	user    *User
	applied Applied
}

func (b *birth) lacks(what string, err error) {
	b.applied.Missing = append(b.applied.Missing, fmt.Errorf("%s: %w", what, err))
}

// run gives up one thing after another, each before what would be needed for it, and starts the program.
func (b *birth) run() error {
	program, err := os.OpenFile("/proc/self/exe", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer program.Close()
	if n, err := nowhere(); err != nil {
		b.lacks("an empty network", err)
	} else if err := unix.Setns(int(n.Fd()), unix.CLONE_NEWNET); err != nil {
		b.lacks("an empty network", err)
	} else {
		b.applied.EmptyNetwork = true
	}
	if err := b.uproot(); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	if b.applied.Landlock, err = landlock(program); err != nil {
		b.lacks("landlock", err)
	}
	if err := unbound(); err != nil {
		return err
	}
	if err := b.become(); err != nil {
		return err
	}
	if err := renounce(); err != nil {
		return err
	}
	b.applied.User = User{UID: os.Geteuid(), GID: os.Getegid()}
	if b.user != nil {
		b.applied.User = *b.user
	}
	// The path leads from the current folder, for from the root nothing does any more.
	b.cmd.Path = "self/exe"
	return b.cmd.Start()
}

// dynamic tells whether a program needs libraries.
func dynamic(program string) bool {
	f, err := elf.Open(program)
	if err != nil {
		return false
	}
	defer f.Close()
	return slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
}

// uproot gives the thread an empty root. Its current folder is /proc: from there the program is still found.
func (b *birth) uproot() error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("a current folder of its own: %w", err)
	}
	if err := unix.Chdir("/proc"); err != nil {
		return err
	}
	root, err := nothing()
	if err == nil {
		err = unix.Chroot(fmt.Sprintf("/proc/self/fd/%d", root.Fd()))
	}
	if err != nil { // landlock is left
		b.lacks("an empty root", err)
		return nil
	}
	b.applied.EmptyRoot = true
	return nil
}

// become makes the thread, and no other, the user's. Go's own calls are for all threads.
func (b *birth) become() error {
	if b.user == nil {
		return nil
	}
	uid, gid := uintptr(b.user.UID), uintptr(b.user.GID)
	for _, call := range []struct{ number, a, b, c uintptr }{
		{unix.SYS_SETGROUPS, 0, 0, 0},
		{unix.SYS_SETRESGID, gid, gid, gid},
		{unix.SYS_SETRESUID, uid, uid, uid},
	} {
		if _, _, errno := unix.RawSyscall(call.number, call.a, call.b, call.c); errno != 0 {
			return fmt.Errorf("%w: user %d, group %d: %w", ErrUser, uid, gid, errno)
		}
	}
	return nil
}

// Enter has a program that [Start] started stand in its root, out of which nothing leads, and take no more of the host than it needs: no core
// file, and some thousands of descriptors.
func Enter() error {
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("confine: the empty root: %w", err)
	}
	return limit()
}
