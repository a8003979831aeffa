// Package sealed carries a connection under TLS 1.3 from the process that shook hands to the one that uses it. The handshake, and all
// that it proves of the peer, is crypto/tls's (vmm/supervisor/identity); the process that made it keeps certificate and key, and hands
// on the socket with what was agreed for this one connection (a [Session]), as a kernel with TLS is given it. What is here is the
// protection of records, RFC 8446 section 5: many are sealed for one write, and nothing is allocated for them.
package sealed

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// maxBatch is how much is sealed for one write, in bytes: 16 full records.
	maxBatch = 16 * (HeaderSize + maxPlain + overhead)
	// leastBuffer is room for one record, most for those of a batch.
	leastBuffer = HeaderSize + maxPlain + maxExpansion
	mostBuffer  = 16 * leastBuffer
	// maxIdle is how many records in a row may carry nothing: a peer is not to keep us busy with them.
	maxIdle = 32
	// lastWords bounds the time to say that a connection ends.
	lastWords = time.Second
)

// Conn is a connection under TLS 1.3. One goroutine may read while others write.
type Conn struct {
	raw   net.Conn
	suite uint16 // its number

	readMu sync.Mutex // guards what follows
	in     half
	buf    []byte // buf[lo:hi] came and is not opened yet
	lo, hi int
	rest   []byte // of buf: opened, and not read yet
	readTo error  // what reading has come to; nil: it goes on

	left atomic.Int64 // bytes of buf that no Read has returned yet

	writeMu sync.Mutex // guards what follows
	out     half
	batch   []byte
	single  [1][]byte
	writeTo error // what writing has come to
}

var _ net.Conn = (*Conn)(nil)

// New goes on with a session over the connection that it was agreed on, which belongs to the result. The error is that of a session
// that makes no sense.
func New(raw net.Conn, s Session) (*Conn, error) {
	c := &Conn{raw: raw, suite: s.Suite, buf: make([]byte, leastBuffer)}
	err := c.in.begin(s.Suite, s.In)
	if err == nil {
		err = c.out.begin(s.Suite, s.Out)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Session is what another process needs to go on with this connection.
//
// Precondition: nobody reads or writes. What the peer sent must have been read up to the end of a record.
func (c *Conn) Session() (Session, error) {
	if c.hi > c.lo || len(c.rest) > 0 || c.readTo != nil || c.writeTo != nil {
		return Session{}, fmt.Errorf("%w: it is handed over in the middle of a record", ErrBroken)
	}
	return Session{Suite: c.suite, In: c.in.direction(), Out: c.out.direction()}, nil
}

// Read implements net.Conn. As many records are opened as are there and fit, straight into p.
func (c *Conn) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.readMu.Lock()
	defer c.readMu.Unlock()
	defer func() { c.left.Store(int64(c.hi - c.lo + len(c.rest))) }()
	if len(c.rest) > 0 {
		n = copy(p, c.rest)
		c.rest = c.rest[n:]
		return n, nil
	}
	for idle := 0; ; {
		for n < len(p) && c.readTo == nil {
			record, err := c.whole()
			if err != nil || record == nil {
				c.readTo = err
				break
			}
			m, err := c.open(p[n:], record)
			n, c.readTo = n+m, err
			if idle++; m > 0 {
				idle = 0
			} else if idle > maxIdle && err == nil {
				c.readTo = fmt.Errorf("%w: records with nothing in them", ErrBroken)
			}
		}
		if n > 0 {
			return n, nil
		}
		if c.readTo != nil {
			return 0, c.readTo
		}
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
}

// fill reads what has come. A peer that closes without a word may have been cut off: the error is io.ErrUnexpectedEOF.
func (c *Conn) fill() error {
	if c.lo > 0 {
		c.hi = copy(c.buf, c.buf[c.lo:c.hi])
		c.lo = 0
	}
	n, err := c.raw.Read(c.buf[c.hi:])
	if c.hi += n; c.hi == len(c.buf) && len(c.buf) < mostBuffer { // there is more: this is no connection of messages
		c.buf = append(c.buf, make([]byte, mostBuffer-len(c.buf))...)
	}
	if n > 0 {
		return nil
	}
	if err == io.EOF { //nolint:errorlint // as io.Reader has it
		return io.ErrUnexpectedEOF
	}
	return err
}

// whole is the next record that has come whole, nil if there is none.
func (c *Conn) whole() ([]byte, error) {
	have := c.buf[c.lo:c.hi]
	if len(have) < HeaderSize {
		return nil, nil
	}
	size, err := recordSize(have)
	if err != nil || len(have) < size {
		return nil, err
	}
	c.lo += size
	return have[:size], nil
}

// open opens a record into p, as much of it as fits.
func (c *Conn) open(p, record []byte) (int, error) {
	into, direct := record[HeaderSize:HeaderSize], len(p) >= len(record)-HeaderSize
	if direct {
		into = p[:0]
	}
	content, kind, err := c.in.open(into, record)
	if err != nil {
		return 0, err
	}
	switch kind {
	case kindData:
		n := len(content)
		if !direct {
			n = copy(p, content)
			c.rest = content[n:]
		}
		return n, nil
	case kindAlert:
		return 0, alertError(content)
	default:
		return 0, c.in.handshake(content)
	}
}

// Write implements net.Conn. What fails may have been written in part: nothing can be written after it.
func (c *Conn) Write(p []byte) (int, error) {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	c.single[0] = p
	n, err := c.write(c.single[:])
	c.single[0] = nil
	return int(n), err
}

// WriteBuffers is Write of several parts at once. They are sealed as one stream, so that small ones do not make small records.
func (c *Conn) WriteBuffers(v net.Buffers) (int64, error) {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	return c.write(v)
}

// write seals and writes. The caller holds writeMu.
func (c *Conn) write(v [][]byte) (done int64, err error) {
	if c.writeTo != nil {
		return 0, c.writeTo
	}
	part, at := 0, 0
	for part < len(v) {
		c.batch = c.batch[:0]
		var taken int64
		for part < len(v) && len(c.batch)+HeaderSize+maxPlain+overhead <= maxBatch {
			if c.batch, err = c.out.renew(c.batch); err != nil {
				break
			}
			start := len(c.batch)
			c.batch = append(c.batch, blankHeader[:]...)
			room := maxPlain
			for room > 0 && part < len(v) {
				n := min(room, len(v[part])-at)
				c.batch = append(c.batch, v[part][at:at+n]...)
				room, at = room-n, at+n
				if at == len(v[part]) {
					part, at = part+1, 0
				}
			}
			if room == maxPlain { // of empty parts nothing is made
				c.batch = c.batch[:start]
				break
			}
			taken += int64(maxPlain - room)
			c.batch = c.out.seal(c.batch, start, kindData)
		}
		if err == nil && len(c.batch) > 0 {
			_, err = c.raw.Write(c.batch)
		}
		if err != nil {
			c.writeTo = err
			return done, err
		}
		done += taken
	}
	return done, nil
}

// CloseWrite says that nothing follows, and closes our half.
func (c *Conn) CloseWrite() error {
	_ = c.raw.SetWriteDeadline(time.Now().Add(lastWords)) // whoever writes now is late
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if c.writeTo == nil {
		c.batch = c.out.seal(append(append(c.batch[:0], blankHeader[:]...), alertWarning, closeNotify), 0, kindAlert)
		_, c.writeTo = c.raw.Write(c.batch)
		if c.writeTo == nil {
			c.writeTo = net.ErrClosed
		}
	}
	if h, ok := c.raw.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return nil
}

// Buffered is how many bytes have come that no Read has returned, as of the last one that did.
func (c *Conn) Buffered() int { return int(c.left.Load()) }

// Close closes the connection below, and says nothing.
func (c *Conn) Close() error { return c.raw.Close() }

// Rebase puts another connection in the place of the one below, as f makes it of that: both must be of one socket.
//
// Precondition: nobody reads or writes.
func (c *Conn) Rebase(f func(net.Conn) net.Conn) { c.raw = f(c.raw) }

// Socket is the connection below. What is read from it, or written to it, breaks this one.
func (c *Conn) Socket() net.Conn { return c.raw }

// SyscallConn is to ask, and to tell, the kernel about the connection, never to read or to write.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.raw.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, syscall.ENOTSUP
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// SetDeadline implements net.Conn. A write that it ends is the last one.
func (c *Conn) SetDeadline(t time.Time) error { return c.raw.SetDeadline(t) }

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.raw.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn. A write that it ends is the last one.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.raw.SetWriteDeadline(t) }
