package sealed

import (
	"fmt"
	"net"
)

// exact reads one record at a time, and nothing of the next: so who goes on with the connection finds it at the beginning of a record.
type exact struct {
	net.Conn
	header [headerSize]byte
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
	n, err := e.Conn.Read(p[:min(len(p), headerSize-e.have)])
	copy(e.header[e.have:], p[:n])
	e.have += n
	if e.have == headerSize {
		if !e.tls && !Begins(e.header[:]) {
			return 0, fmt.Errorf("%w: it begins with %q", ErrPlain, e.header[:])
		}
		e.left, e.have, e.tls = int(e.header[3])<<8|int(e.header[4]), 0, true
	}
	return n, err
}

// CloseWrite implements what half-closes.
func (e *exact) CloseWrite() error {
	if h, ok := e.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return nil
}

// Begins tells whether a peer that says this first, at least three bytes, speaks TLS: a message of the handshake, or an alert.
func Begins(b []byte) bool {
	return len(b) >= 3 && (kind(b[0]) == kindHandshake || kind(b[0]) == kindAlert) && b[1] == 3 && b[2] <= 4
}
