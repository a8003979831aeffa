package drive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
)

// Process is a vmm that goes on: run, receive or restore. Its standard output
// is the guest's serial line.
type Process struct {
	// Stream is the serial line, as the observer has it.
	Stream *lab.Stream
	// Listening is what receive printed first, "tcp:HOST:PORT".
	Listening string

	args   []string
	cmd    *exec.Cmd
	stdout *os.File
	stderr lockedBuffer
	exited chan struct{} // closed when the process has ended and stdout has been read
}

// Start starts run or restore in the foreground, with o watching the serial
// line under the given name.
func (s *Site) Start(o *lab.Observer, stream string, args ...string) (*Process, error) {
	return s.StartIn(o, stream, nil, args...)
}

// StartIn is Start through a wrapper, as ExecIn has it.
func (s *Site) StartIn(o *lab.Observer, stream string, wrapper []string, args ...string) (*Process, error) {
	p, err := s.spawn(wrapper, args)
	if err != nil {
		return nil, err
	}
	p.watch(o, stream, p.stdout)
	return p, nil
}

// Receive starts receive in the foreground on any free port and returns when
// it listens.
func (s *Site) Receive(o *lab.Observer, stream string, args ...string) (*Process, error) {
	return s.ReceiveIn(o, stream, nil, args...)
}

// ReceiveIn is Receive through a wrapper, as ExecIn has it.
func (s *Site) ReceiveIn(o *lab.Observer, stream string, wrapper []string, args ...string) (*Process, error) {
	all := slices.Concat([]string{"receive", "--listen", "tcp:" + s.Address() + ":0"}, args, s.secure())
	p, err := s.spawn(wrapper, all)
	if err != nil {
		return nil, err
	}
	// What follows this line on stdout is the guest's.
	line, err := lab.ReadLine(p.stdout)
	address, ok := strings.CutPrefix(line, "listening ")
	if err != nil || !ok {
		p.watch(o, stream, p.stdout)
		if err != nil { // it ends by itself: what it says to people may come after its output has ended
			<-p.exited
		}
		return nil, errors.Join(fmt.Errorf("drive: got %q, %v from receive; want that it listens\nstderr: %s", line, err, p.Stderr()), p.Kill())
	}
	p.Listening = address
	p.watch(o, stream, p.stdout)
	return p, nil
}

func (s *Site) spawn(wrapper, args []string) (*Process, error) {
	p := &Process{args: args, cmd: s.command(args), exited: make(chan struct{})}
	if err := wrap(p.cmd, wrapper); err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	p.stdout = r
	p.cmd.Stdout, p.cmd.Stderr = w, &p.stderr
	if err := s.start(p.cmd); err != nil {
		r.Close()
		return nil, fmt.Errorf("drive: %w", err)
	}
	return p, nil
}

// watch hands the serial line to the observer, and waits for the ends.
func (p *Process) watch(o *lab.Observer, stream string, r *os.File) {
	p.Stream = o.Watch(stream, r)
	go func() {
		_ = p.cmd.Wait() // its exit code says more
		_ = p.Stream.Wait(context.Background())
		p.stdout.Close()
		close(p.exited)
	}()
}

// PID is the supervisor's process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// CPU is what it has used, with the processes that it waited for, once Wait has returned.
func (p *Process) CPU() time.Duration {
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

// Stderr is what it has said to people so far.
func (p *Process) Stderr() string { return p.stderr.String() }

// Wait waits for the end, also of the serial line, and returns the exit code.
func (p *Process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.exited:
		return exitCode(p.cmd.ProcessState), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("drive: vmm %q goes on: %w\nstderr: %s", p.args, context.Cause(ctx), p.Stderr())
	}
}

// Ended says whether it has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// Kill kills the supervisor, not its machine.
func (p *Process) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Interrupt does what Ctrl-C does.
func (p *Process) Interrupt() error { return p.cmd.Process.Signal(os.Interrupt) }

func exitCode(s *os.ProcessState) int {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return s.ExitCode()
}

// lockedBuffer is a buffer that may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var _ io.Writer = (*lockedBuffer)(nil)
