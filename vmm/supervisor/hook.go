package supervisor

import (
	"bytes"
	"context"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// hookCommand is a site's program that reads a line of JSON. When ctx is done it is killed,
// and with it what it has started.
func hookCommand(ctx context.Context, path string, in []byte) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path)
	cmd.Stdin = bytes.NewReader(append(in, '\n'))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}
