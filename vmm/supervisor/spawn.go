package supervisor

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/confine"
	"github.com/ferryvmm/ferry/internal/ipc"
	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// machineArg0 is what the machine process is called; main recognises it.
const machineArg0 = "vmm-machine"

// unconfinedWord says to a machine process, behind its name, that it is not confined.
const unconfinedWord = "unconfined"

// machineSocket and machineLock are the descriptors that a machine is born with.
const (
	machineSocket   = 3
	machineLock     = 4
	machineListener = 5
)

// MachineMain turns this process into a machine if it was started as one; it
// then never returns. main calls it before it parses anything.
func MachineMain() bool {
	if len(os.Args) == 0 || os.Args[0] != machineArg0 {
		return false
	}
	if err := enclose(); err != nil {
		fmt.Fprintf(os.Stderr, "vmm: the machine does not run unconfined: %v\n", err) // the log
		os.Exit(1)
	}
	// The descriptors stay in this process: the lock is held by being open.
	for _, fd := range []int{machineSocket, machineLock, machineListener} {
		unix.CloseOnExec(fd)
	}
	for _, fd := range []int{machineSocket, machineListener} {
		_ = unix.SetNonblock(fd, true) // exec made it blocking
	}
	time.Local = time.UTC // of which the log is; the time zone is in a file
	var owner uint32      // its supervisor's user may adopt its guest, and root may
	if cred, err := unix.GetsockoptUcred(machineSocket, unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
		owner = cred.Uid
	}
	os.Exit(vmm.Serve(os.NewFile(machineSocket, "ipc"), os.NewFile(machineLock, "name"), os.NewFile(machineListener, "listener"), owner))
	return true
}

// enclose is the machine process's own part in being confined: before it looks at anything that it is sent.
func enclose() error {
	if len(os.Args) > 2 && slices.Contains(os.Args[2:], unconfinedWord) {
		return nil
	}
	if err := confine.Enter(); err != nil {
		return err
	}
	filter, err := vmm.Filter()
	if err != nil {
		return err
	}
	return confine.Install(filter)
}

// process is a machine process and the connection to it.
type process struct {
	conn *ipc.Conn
	cmd  *exec.Cmd // nil: it is another's child
	pid  int
	kill func() // ends the process; gone is closed when it has
	// confinement is by what it is confined, in words.
	confinement []string
	// gone is closed when the process has been reaped; err and killed are set then.
	gone   chan struct{}
	err    error
	killed bool
}

// spawn starts a machine process that holds n's lock and logs to log, confined as asked.
func spawn(n *name, log *os.File, logger *slog.Logger, c Confinement, handler ipc.Handler) (*process, error) {
	ours, theirs, err := ipc.Pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	listener, err := ipc.Listen(n.path("ipc"))
	if err != nil {
		ours.Close()
		return nil, noDir(err)
	}
	defer listener.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR|unix.O_CLOEXEC, 0) // where it is started from nothing can be opened any more
	if err != nil {
		ours.Close()
		return nil, err
	}
	defer null.Close()
	p := &process{
		cmd: &exec.Cmd{
			Path:       "/proc/self/exe",
			Args:       []string{machineArg0, n.name},
			Env:        []string{"GOTRACEBACK=all"},
			Stdin:      null,
			Stdout:     null,
			Stderr:     log,
			ExtraFiles: []*os.File{theirs, n.lock, listener},
			// A session of its own: a key pressed at the supervisor's terminal
			// must not signal the guest.
			SysProcAttr: &syscall.SysProcAttr{Setsid: true},
		},
		gone: make(chan struct{}),
	}
	if err := p.begin(c, logger); err != nil {
		ours.Close()
		return nil, err
	}
	p.pid, p.kill = p.cmd.Process.Pid, func() { _ = p.cmd.Process.Kill() }
	p.conn = ipc.New(ours, handler)
	go p.reap()
	return p, nil
}

// begin starts the process, and logs by what it is not confined.
func (p *process) begin(c Confinement, log *slog.Logger) error {
	p.confinement = confinedBy(nil)
	if c.Off {
		log.Warn("the machine process is not confined")
		p.cmd.Args, p.cmd.Dir = append(p.cmd.Args, unconfinedWord), "/"
		if err := p.cmd.Start(); err != nil {
			return fmt.Errorf("starting the machine process: %w", err)
		}
		return nil
	}
	applied, err := confine.Start(p.cmd, c.User)
	if err == nil {
		if err := confine.LockMemory(p.cmd.Process.Pid); err != nil {
			log.Warn("memory is copied where it is moved", "error", err)
		}
	}
	switch {
	case errors.Is(err, confine.ErrUser):
		return api.Errorf("user", "run vmm as root, or without --user", "%v", err)
	case errors.Is(err, confine.ErrDynamic):
		return api.Errorf("dynamic", "build vmm with make build (CGO_ENABLED=0), or run it with --unconfined", "%v", err)
	case err != nil:
		return fmt.Errorf("starting the machine process: %w", err)
	}
	p.confinement = confinedBy(&applied)
	for _, err := range applied.Missing {
		log.Info("the machine process is confined less than it could be", "lacks", err)
	}
	return nil
}

func (p *process) reap() {
	defer close(p.gone)
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if w, ok := exit.Sys().(syscall.WaitStatus); ok && w.Signaled() && w.Signal() == syscall.SIGKILL {
			p.killed = true
		}
	}
	p.err = err
}

// end closes the connection and waits until the process is gone, and what it asked for last was answered: what is taken for it then, such as a
// name, is known to whoever gives it back.
func (p *process) end() {
	p.conn.Close()
	p.conn.Drain(answersWithin)
	<-p.gone
}

// answersWithin is for what a process that is gone has asked: answers need files, and links of the network.
const answersWithin = 10 * time.Second
