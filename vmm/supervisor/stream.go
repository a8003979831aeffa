package supervisor

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/ferryvmm/ferry/internal/sealed"
)

// stream is a connection of a move, TCP or unix, or one under TLS, whose socket can be handed to the machine.
type stream interface {
	net.Conn
	CloseWrite() error
}

// socketOf duplicates the socket below a connection, for the machine, with the session that goes with it, nil where there is none.
//
// Precondition: nothing was read of it but the hello.
func socketOf(conn stream) (*os.File, *sealed.Session, error) {
	var below net.Conn = conn
	var session *sealed.Session
	if c, ok := conn.(*sealed.Conn); ok {
		s, err := c.Session()
		if err != nil {
			return nil, nil, err
		}
		below, session = c.Socket(), &s
	}
	f, err := fileOf(below)
	return f, session, err
}

// fileOf duplicates the socket below conn.
func fileOf(conn net.Conn) (*os.File, error) {
	u, ok := conn.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, errors.New("not a socket")
	}
	return u.File()
}

// addConn adds the socket of a connection, and closes that.
func (h *handOver) addConn(role string, conn stream) error {
	defer conn.Close()
	f, session, err := socketOf(conn)
	if err != nil {
		return fmt.Errorf("handing over the %s connection: %w", role, err)
	}
	h.add(role, f)
	if session != nil {
		if h.sessions == nil {
			h.sessions = make(map[string]sealed.Session)
		}
		h.sessions[role] = *session
	}
	return nil
}
