package vmm

import (
	"fmt"
	"net"
	"os"

	"github.com/ferryvmm/ferry/internal/sealed"
)

// socketConn makes a connection of a socket that was handed over, under the session that was agreed on there, if any. The file stays
// the caller's.
func socketConn(f *os.File, s *sealed.Session) (net.Conn, error) {
	conn, err := net.FileConn(f)
	if err != nil || s == nil {
		return conn, err
	}
	c, err := sealed.New(conn, *s)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// connOf makes a connection of a socket that was handed over.
func connOf(files fileSet, role string, sessions map[string]sealed.Session) (net.Conn, error) {
	f := files.take(role)
	if f == nil {
		return nil, fmt.Errorf("no %s connection was handed over", role)
	}
	defer f.Close()
	if s, ok := sessions[role]; ok {
		return socketConn(f, &s)
	}
	return socketConn(f, nil)
}

// moveConns makes the connections of a move of the sockets that were handed over.
func moveConns(files fileSet, sessions map[string]sealed.Session) (control, bulk net.Conn, err error) {
	if control, err = connOf(files, RoleControl, sessions); err != nil {
		return nil, nil, err
	}
	if bulk, err = connOf(files, RoleBulk, sessions); err != nil {
		control.Close()
		return nil, nil, err
	}
	return control, bulk, nil
}
