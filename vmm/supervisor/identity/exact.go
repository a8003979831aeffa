package identity

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/ferryvmm/ferry/internal/sealed"
)

// exact reads one record at a time, and nothing of the next: so who goes on with the connection finds it at the beginning of a record.
type exact struct {
	net.Conn
	header [sealed.HeaderSize]byte
	have   int  // bytes of the header
	left   int  // bytes of the record behind it
	tls    bool // a record has begun
}

// Read implements net.Conn.
func (e *exact) Read(p []byte) (int, error) {
	if e.left > 0 {
		n, err := e.Conn.Read(p[:min(len(p), e.left)])
		e.left -= n
		return n, err
	}
	n, err := e.Conn.Read(p[:min(len(p), len(e.header)-e.have)])
	copy(e.header[e.have:], p[:n])
	e.have += n
	if e.have == len(e.header) {
		if !e.tls && !sealed.Begins(e.header[:]) {
			return 0, fmt.Errorf("%w: it begins with %q", ErrPlain, e.header[:])
		}
		e.left, e.have, e.tls = int(e.header[3])<<8|int(e.header[4]), 0, true
	}
	return n, err
}

// CloseWrite closes our half.
func (e *exact) CloseWrite() error {
	if h, ok := e.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return nil
}

// File duplicates the socket.
func (e *exact) File() (*os.File, error) {
	f, ok := e.Conn.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, errors.New("not a socket")
	}
	return f.File()
}
