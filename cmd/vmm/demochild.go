package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// child is a process that the demo started.
type child struct {
	what   string
	cmd    *exec.Cmd
	stdout *os.File // our end of a pipe
	stderr *tail
	stream *lab.Stream // the observer's, once it reads stdout

	exited chan struct{} // closed when err is set
	err    error
}

func newChild(what string, cmd *exec.Cmd, stdout *os.File) *child {
	c := &child{what: what, cmd: cmd, stdout: stdout, stderr: &tail{}, exited: make(chan struct{})}
	cmd.Stderr = c.stderr
	return c
}

func (c *child) wait() {
	c.err = c.cmd.Wait()
	close(c.exited)
}

// firstLine returns the first line of what it prints, without its end.
func (c *child) firstLine(ctx context.Context) (string, error) {
	stop := context.AfterFunc(ctx, func() { c.stdout.SetReadDeadline(time.Unix(1, 0)) }) //nolint:errcheck // a pipe has deadlines
	line, err := lab.ReadLine(c.stdout)
	if !stop() && err != nil {
		err = context.Cause(ctx)
	}
	return line, err
}

// output returns all that it printed, and what it ended with.
func (c *child) output() ([]byte, error) {
	text, err := io.ReadAll(c.stdout)
	<-c.exited
	if err == nil && c.err != nil {
		err = c.failure()
	}
	return text, err
}

// end waits for its end and for that of what it printed; an exit code other than 0 is an error.
func (c *child) end(ctx context.Context) error {
	select {
	case <-c.exited:
	case <-ctx.Done():
		return fmt.Errorf("%s has not ended: %w", c.what, context.Cause(ctx))
	}
	if err := c.stream.Wait(ctx); err != nil {
		return fmt.Errorf("read what %s printed: %w", c.what, err)
	}
	if c.err != nil {
		return c.failure()
	}
	return nil
}

// failure is what it said about its failure.
// Precondition: it has exited with an error.
func (c *child) failure() error {
	message, remedy := c.stderr.message()
	if message == "" {
		return fmt.Errorf("%s: %w", c.what, c.err)
	}
	return api.Errorf(api.CodeInternal, remedy, "%s: %s (%v)", c.what, message, c.err)
}

// explain returns why err came: the child's own words if it is ending.
func (c *child) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	patience := time.NewTimer(time.Second)
	defer patience.Stop()
	select {
	case <-c.exited:
		if c.err != nil {
			return c.failure()
		}
	case <-patience.C:
	}
	return fmt.Errorf("%s: %w", c.what, err)
}

func (c *child) signal(s syscall.Signal) {
	c.cmd.Process.Signal(s) //nolint:errcheck // it may have ended
}

// close ends it, by force if asking does not help, and lets its pipe go.
func (c *child) close() error {
	c.signal(syscall.SIGTERM)
	patience := time.AfterFunc(endWithin, func() { c.signal(syscall.SIGKILL) })
	defer patience.Stop()
	<-c.exited
	return c.stdout.Close()
}

// tail keeps the last of what is written to it.
type tail struct {
	mu   sync.Mutex // guards text
	text []byte
}

// maxTail is how much a tail keeps, in bytes.
const maxTail = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = bytes.Clone(t.text[max(0, len(t.text)-maxTail):])
	return len(p), nil
}

// message finds the error and the remedy that this program prints.
func (t *tail) message() (message, remedy string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for line := range strings.Lines(string(t.text)) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "vmm: "); ok {
			message = rest
		}
		if rest, ok := strings.CutPrefix(line, "try: "); ok {
			remedy = rest
		}
	}
	return message, remedy
}
