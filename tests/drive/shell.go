package drive

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
)

// end is what a shell prints behind a block's output.
const end = "-- this block has ended: "

// Shell is a session at a host, in which commands are typed. What they change in the shell stays.
type Shell struct {
	cmd    *exec.Cmd
	stdin  io.Writer
	stdout *bufio.Reader
}

func newShell(cmd *exec.Cmd) (*Shell, error) {
	s := &Shell{cmd: cmd}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.stdin, s.stdout = stdin, bufio.NewReader(stdout)
	cmd.Stderr = cmd.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("drive: %w", err)
	}
	_, err = io.WriteString(stdin, "set -e\n")
	return s, err
}

// Start types commands. The first that fails ends the session.
func (s *Shell) Start(commands string) error {
	// Their standard input is not what is typed later.
	_, err := fmt.Fprintf(s.stdin, "{\n%s\n} </dev/null 2>&1\necho '%s'\n", strings.TrimSpace(commands), end)
	return err
}

// Output is what the commands typed have printed once they have ended. ctx kills the session.
func (s *Shell) Output(ctx context.Context) (string, error) {
	defer context.AfterFunc(ctx, func() { _ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) })()
	var b strings.Builder
	for {
		line, err := s.stdout.ReadString('\n')
		if strings.TrimSpace(line) == strings.TrimSpace(end) {
			return b.String(), nil
		}
		b.WriteString(line)
		if err != nil {
			return b.String(), fmt.Errorf("drive: a command failed, and the shell ended: %w", err)
		}
	}
}

// Close ends the session, whatever runs in it. What runs in the background stays.
func (s *Shell) Close() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) // it may have ended
	_ = s.cmd.Wait()                                      // by that signal
}
