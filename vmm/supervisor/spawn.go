package supervisor

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/ipc"
	"github.com/ferryvmm/ferry/vmm"
)

// machineArg0 is what the machine process is called; main recognises it.
const machineArg0 = "vmm-machine"

// machineSocket and machineLock are the descriptors that a machine is born with.
const (
	machineSocket = 3
	machineLock   = 4
)

// MachineMain turns this process into a machine if it was started as one; it
// then never returns. main calls it before it parses anything.
func MachineMain() bool {
	if len(os.Args) == 0 || os.Args[0] != machineArg0 {
		return false
	}
	// The descriptors stay in this process: the lock is held by being open.
	for _, fd := range []int{machineSocket, machineLock} {
		unix.CloseOnExec(fd)
	}
	_ = unix.SetNonblock(machineSocket, true) // exec made it blocking
	os.Exit(vmm.Serve(os.NewFile(machineSocket, "ipc"), os.NewFile(machineLock, "name")))
	return true
}

// process is a machine process and the connection to it.
type process struct {
	conn *ipc.Conn
	cmd  *exec.Cmd
	// gone is closed when the process has been reaped; err and killed are set then.
	gone   chan struct{}
	err    error
	killed bool
}

// spawn starts a machine process that holds n's lock and logs to log.
func spawn(n *name, log *os.File, handler ipc.Handler) (*process, error) {
	ours, theirs, err := ipc.Pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	p := &process{
		cmd: &exec.Cmd{
			Path:       "/proc/self/exe",
			Args:       []string{machineArg0, n.name},
			Env:        []string{"GOTRACEBACK=all"},
			Dir:        "/",
			Stderr:     log,
			ExtraFiles: []*os.File{theirs, n.lock},
			// A session of its own: a key pressed at the supervisor's terminal
			// must not signal the guest.
			SysProcAttr: &syscall.SysProcAttr{Setsid: true},
		},
		gone: make(chan struct{}),
	}
	if err := p.cmd.Start(); err != nil {
		ours.Close()
		return nil, fmt.Errorf("starting the machine process: %w", err)
	}
	p.conn = ipc.New(ours, handler)
	go p.reap()
	return p, nil
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

// kill ends the process; gone is closed when it has.
func (p *process) kill() { _ = p.cmd.Process.Kill() }

// end closes the connection and waits until the process is gone.
func (p *process) end() {
	p.conn.Close()
	<-p.gone
}
