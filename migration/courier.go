package migration

import (
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Handed is an open file that goes with a guest to another process of its host.
type Handed struct {
	Role string // what it is, in words that Host knows; unique among those of a move
	File *os.File
}

// maxHanded is the most descriptors that one write carries: SCM_MAX_FD of net/scm.h.
const maxHanded = 253

// courier is a connection that carries descriptors beside its bytes, by
// SCM_RIGHTS. One goroutine writes until it has carried them, one reads.
type courier struct {
	net.Conn // unix, as an interface: net.Buffers would write past Write
	unix     *net.UnixConn
	oob      []byte

	mu   sync.Mutex // guards what follows
	out  []Handed   // to go with the next write
	came []*os.File // not taken yet
}

func newCourier(c *net.UnixConn) *courier {
	return &courier{Conn: c, unix: c, oob: make([]byte, unix.CmsgSpace(4*maxHanded))}
}

// hand has files go with the next write. They stay the caller's.
func (c *courier) hand(files []Handed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = files
}

// CloseWrite ends our half.
func (c *courier) CloseWrite() error { return c.unix.CloseWrite() }

// Write implements net.Conn.
func (c *courier) Write(p []byte) (int, error) {
	c.mu.Lock()
	out := c.out
	c.out = nil
	c.mu.Unlock()
	if len(out) == 0 {
		return c.unix.Write(p)
	}
	fds := make([]int, len(out))
	for i, h := range out {
		raw, err := h.File.SyscallConn() // not Fd, which would make a tap blocking
		if err != nil {
			return 0, fmt.Errorf("handing over %s: %w", h.Role, err)
		}
		if err := raw.Control(func(fd uintptr) { fds[i] = int(fd) }); err != nil {
			return 0, fmt.Errorf("handing over %s: %w", h.Role, err)
		}
	}
	n, _, err := c.unix.WriteMsgUnix(p, unix.UnixRights(fds...), nil)
	if err != nil || n == len(p) {
		return n, err
	}
	m, err := c.unix.Write(p[n:])
	return n + m, err
}

// Read implements net.Conn, and keeps the descriptors that come.
func (c *courier) Read(p []byte) (int, error) {
	n, oobn, flags, _, err := c.unix.ReadMsgUnix(p, c.oob)
	if oobn > 0 {
		err = c.keep(c.oob[:oobn], err)
	}
	if err == nil && flags&unix.MSG_CTRUNC != 0 {
		err = fmt.Errorf("%w: more descriptors than fit", ErrProtocol)
	}
	return n, err
}

func (c *courier) keep(oob []byte, err error) error {
	messages, parseErr := unix.ParseSocketControlMessage(oob)
	if parseErr != nil {
		return parseErr
	}
	for i := range messages {
		fds, parseErr := unix.ParseUnixRights(&messages[i])
		if parseErr != nil {
			continue
		}
		for _, fd := range fds {
			f, fileErr := unpolled(fd)
			if fileErr != nil {
				err = fileErr
				continue
			}
			c.mu.Lock()
			c.came = append(c.came, f)
			many := len(c.came) > maxHanded
			c.mu.Unlock()
			if many {
				err = fmt.Errorf("%w: too many descriptors", ErrProtocol)
			}
		}
	}
	return err
}

// unpolled makes a file of a descriptor. os.NewFile would give one that does not
// block to Go's poller, and each packet of a tap would wake a thread.
func unpolled(fd int) (*os.File, error) {
	defer unix.Close(fd)
	place, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("descriptor handed over: %w", err)
	}
	f := os.NewFile(uintptr(place), "handed over")
	if err := unix.Dup3(fd, place, unix.O_CLOEXEC); err != nil {
		f.Close()
		return nil, fmt.Errorf("descriptor handed over: %w", err)
	}
	return f, nil
}

// take returns what came, by role. The error is ErrProtocol.
func (c *courier) take(roles []string) ([]Handed, error) {
	var came []*os.File
	if c != nil {
		c.mu.Lock()
		came, c.came = c.came, nil
		c.mu.Unlock()
	}
	seen := make(map[string]bool, len(roles))
	for _, r := range roles {
		seen[r] = true
	}
	if len(came) != len(roles) || len(seen) != len(roles) {
		closeFiles(came)
		return nil, fmt.Errorf("%w: %d descriptors came for %d roles, %d of them different", ErrProtocol, len(came), len(roles), len(seen))
	}
	var handed []Handed
	for i, f := range came {
		handed = append(handed, Handed{Role: roles[i], File: f})
	}
	return handed, nil
}

// drop closes what nobody took.
func (c *courier) drop() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	closeFiles(c.came)
	c.came = nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
