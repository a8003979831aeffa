package drive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/ferryvmm/ferry/internal/lab"
)

// Site is one host as the command sees it: a state folder and a network.
type Site struct {
	Vmm  string    // path of the binary
	Dir  string    // $FERRY_DIR
	Host *lab.Host // nil: this process's own network
	TLS  string    // folder of its identity; empty: what it says to others is not encrypted
}

// NewSite makes a site with a state folder of its own. The folder's path is
// short, because paths of unix sockets must be.
func NewSite(vmm string, host *lab.Host) (*Site, error) {
	dir, err := os.MkdirTemp("", "ferry-")
	if err != nil {
		return nil, fmt.Errorf("drive: make a state folder: %w", err)
	}
	return &Site{Vmm: vmm, Dir: dir, Host: host}, nil
}

// Address is where others reach the site.
func (s *Site) Address() string {
	if s.Host == nil {
		return "127.0.0.1"
	}
	return s.Host.Addr.String()
}

// command prepares a call of the binary.
func (s *Site) command(args []string) *exec.Cmd {
	cmd := exec.Command(s.Vmm, args...)
	cmd.Env = append(os.Environ(), "FERRY_DIR="+s.Dir)
	return cmd
}

func (s *Site) start(cmd *exec.Cmd) error {
	if s.Host == nil {
		return cmd.Start()
	}
	return s.Host.Start(cmd)
}

// Done is how a command ended.
type Done struct {
	Args           []string
	Stdout, Stderr string
	Code           int // as the shell has it: 128 + the signal for a killed one
}

// String describes it for an error message.
func (d Done) String() string {
	return fmt.Sprintf("vmm %q: exit %d\nstdout: %s\nstderr: %s", d.Args, d.Code, d.Stdout, d.Stderr)
}

// Exec runs a command to its end. ctx kills it. An error means that it could
// not be run or was killed by ctx; an exit code is none.
func (s *Site) Exec(ctx context.Context, args ...string) (Done, error) {
	return s.run(ctx, s.command(args), args)
}

// ExecIn is Exec through a wrapper, a command line that ends by executing what
// follows it (as unshare and env do).
func (s *Site) ExecIn(ctx context.Context, wrapper []string, args ...string) (Done, error) {
	cmd := s.command(args)
	if err := wrap(cmd, wrapper); err != nil {
		return Done{}, err
	}
	return s.run(ctx, cmd, args)
}

func wrap(cmd *exec.Cmd, wrapper []string) error {
	if len(wrapper) == 0 {
		return nil
	}
	path, err := exec.LookPath(wrapper[0])
	if err != nil {
		return fmt.Errorf("drive: %w", err)
	}
	cmd.Path, cmd.Args = path, append(append([]string{}, wrapper...), cmd.Args...)
	return nil
}

func (s *Site) run(ctx context.Context, cmd *exec.Cmd, args []string) (Done, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := s.start(cmd); err != nil {
		return Done{}, fmt.Errorf("drive: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if !stop() {
		return Done{}, fmt.Errorf("drive: vmm %q did not end: %w\nstdout: %s\nstderr: %s", args, context.Cause(ctx), &stdout, &stderr)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return Done{}, fmt.Errorf("drive: vmm %q: %w", args, err)
	}
	return Done{Args: args, Stdout: stdout.String(), Stderr: stderr.String(), Code: exitCode(cmd.ProcessState)}, nil
}
