// Package direct makes connections whose reader waits in the kernel. A connection of package net waits in Go's poller: what
// comes wakes a thread that looks who waits for it, and that one wakes another, which on a busy host costs more than the
// network does.
package direct

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Conn is a connection with its own place in the kernel. A goroutine that reads occupies a thread.
type Conn struct {
	net.Addr // of the peer

	mu sync.RWMutex // held for reading by each call that uses fd, and for writing by Close
	fd int          // -1: closed
}

var _ net.Conn = (*Conn)(nil)

// New takes a connection over, which is closed. A connection that has no descriptor is an error, and stays as it is.
func New(c net.Conn) (*Conn, error) {
	f, ok := c.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("direct: a %T has no descriptor", c)
	}
	file, err := f.File()
	if err != nil {
		return nil, fmt.Errorf("direct: %w", err)
	}
	defer file.Close()
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("direct: %w", err)
	}
	// The poller lets go of the socket with the connection, not with the descriptor.
	peer := c.RemoteAddr()
	c.Close()
	if err := unix.SetNonblock(fd, false); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("direct: %w", err)
	}
	return &Conn{Addr: peer, fd: fd}, nil
}

// Read waits in the kernel.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.call("read", func(fd int) (int, error) { return unix.Read(fd, p) })
	if n == 0 && err == nil && len(p) > 0 {
		return 0, io.EOF
	}
	return n, err
}

// Write waits in the kernel until all is written.
func (c *Conn) Write(p []byte) (done int, err error) {
	for done < len(p) {
		n, err := c.call("write", func(fd int) (int, error) { return unix.Write(fd, p[done:]) })
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// WriteBuffers is Write of several parts at once.
func (c *Conn) WriteBuffers(v net.Buffers) (done int64, err error) {
	for len(v) > 0 {
		n, err := c.call("write", func(fd int) (int, error) { return unix.Writev(fd, v) })
		done += int64(n)
		if err != nil {
			return done, err
		}
		for n > 0 && len(v) > 0 {
			if n < len(v[0]) {
				v[0] = v[0][n:]
				break
			}
			n -= len(v[0])
			v = v[1:]
		}
		for len(v) > 0 && len(v[0]) == 0 {
			v = v[1:]
		}
	}
	return done, nil
}

func (c *Conn) call(what string, f func(fd int) (int, error)) (int, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for {
		if c.fd < 0 {
			return 0, net.ErrClosed
		}
		n, err := f(c.fd)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return max(n, 0), &net.OpError{Op: what, Net: "tcp", Addr: c.Addr, Err: os.NewSyscallError(what, err)}
		}
		return n, nil
	}
}

// Hurry asks the network for low delay (RFC 1349, RFC 2474: the first class that queues by priority put before bulk).
func (c *Conn) Hurry() error {
	_, err := c.call("setsockopt", func(fd int) (int, error) {
		return 0, unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, lowDelay)
	})
	return err
}

// lowDelay is IPTOS_LOWDELAY, of ip(7).
const lowDelay = 0x10

// shutdown ends the calls that wait.
func (c *Conn) shutdown() {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.fd >= 0 {
		_ = unix.Shutdown(c.fd, unix.SHUT_RDWR) // the peer may have done it already
	}
}

// Close ends the connection, and what waits for it. Calling it again does nothing.
func (c *Conn) Close() error {
	c.shutdown()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return nil
	}
	err := unix.Close(c.fd)
	c.fd = -1
	return err
}

// SetDeadline knows only a deadline that is over, which ends what waits and all that comes later.
func (c *Conn) SetDeadline(t time.Time) error {
	if !t.IsZero() && !t.After(time.Now()) {
		c.shutdown()
		return nil
	}
	return syscall.ENOTSUP
}

// SetReadDeadline is SetDeadline.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.SetDeadline(t) }

// SetWriteDeadline is SetDeadline.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.SetDeadline(t) }

// LocalAddr is not known.
func (c *Conn) LocalAddr() net.Addr { return c.Addr }

// RemoteAddr is the peer's.
func (c *Conn) RemoteAddr() net.Addr { return c.Addr }
