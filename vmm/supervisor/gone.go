package supervisor

import (
	"context"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// Watch waits for the end of a supervisor. It is made before the request that
// ends it, because afterwards its socket may be another machine's.
type Watch struct{ pidfd int }

// NewWatch watches the supervisor behind c. The caller closes it.
func NewWatch(c *api.Client) (*Watch, error) {
	pid, err := peer(c.Socket())
	if err != nil {
		return nil, fmt.Errorf("finding the supervisor at %s: %w", c.Socket(), err)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("watching process %d: %w", pid, err)
	}
	return &Watch{pidfd: fd}, nil
}

// Wait returns when the supervisor has ended: its process, its machine's, its
// socket and its name are gone.
func (w *Watch) Wait(ctx context.Context) error { return pollUntilDead(ctx, w.pidfd) }

// Close ends the watch.
func (w *Watch) Close() error { return unix.Close(w.pidfd) }

// peer returns the process that listens at a unix socket.
func peer(path string) (int, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	cred, err := credentials(conn.(*net.UnixConn))
	if err != nil {
		return 0, err
	}
	return int(cred.Pid), nil
}

// credentials tells who is at the other end.
func credentials(conn *net.UnixConn) (*unix.Ucred, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return nil, err
	}
	return cred, credErr
}

// pollUntilDead waits for the process of a pidfd to end.
func pollUntilDead(ctx context.Context, fd int) error {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	defer unix.Close(wake)
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_, _ = unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	})
	defer func() {
		if !stop() {
			<-woken
		}
	}()
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(wake), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, -1)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("poll: %w", err)
		case fds[0].Revents != 0:
			return nil
		default:
			return ctx.Err()
		}
	}
}
