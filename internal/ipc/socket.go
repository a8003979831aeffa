package ipc

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Listen makes a socket file at path, for this user alone, at which one process of a machine can be reached again when the other
// has died. The path is the caller's: what is there is removed.
func Listen(path string) (*os.File, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	f, err := socket("listener")
	if err != nil {
		return nil, err
	}
	raw, err := f.SyscallConn()
	if err == nil {
		var made error
		err = raw.Control(func(fd uintptr) {
			if made = unix.Bind(int(fd), &unix.SockaddrUnix{Name: path}); made != nil {
				return
			}
			if made = os.Chmod(path, 0o600); made == nil {
				made = unix.Listen(int(fd), 1)
			}
		})
		err = errors.Join(err, made)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	return f, nil
}

// Dial connects to the process that listens at path.
func Dial(path string) (*os.File, error) {
	f, err := socket("ipc")
	if err != nil {
		return nil, err
	}
	raw, err := f.SyscallConn()
	if err == nil {
		var made error
		err = raw.Control(func(fd uintptr) { made = unix.Connect(int(fd), &unix.SockaddrUnix{Name: path}) })
		err = errors.Join(err, made)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	return f, nil
}

// Accept waits for somebody at a socket of [Listen] who is one of these users; others are turned away. It ends with an error when
// the socket is closed.
func Accept(l *os.File, uids ...uint32) (*os.File, error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	for {
		var fd int
		var refused error
		err := raw.Read(func(at uintptr) bool {
			fd, _, refused = unix.Accept4(int(at), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			return !errors.Is(refused, unix.EAGAIN)
		})
		if err != nil { // that of the descriptor knows no os.ErrClosed
			return nil, fmt.Errorf("accept: %w: %w", os.ErrClosed, err)
		}
		if refused != nil {
			return nil, fmt.Errorf("accept: %w", refused)
		}
		peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil || !slices.Contains(uids, peer.Uid) {
			unix.Close(fd)
			continue
		}
		widen(fd)
		return os.NewFile(uintptr(fd), "ipc"), nil
	}
}

func socket(name string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	widen(fd)
	return os.NewFile(uintptr(fd), name), nil
}

// widen has one packet fit into a socket; the default of some hosts is below maxPacket.
func widen(fd int) { _ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 2*maxPacket) }
