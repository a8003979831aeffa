package api

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// Console attaches to the guest's serial console. What the guest writes from then on is read from the connection, what
// is written to it is typed to the guest; closing it detaches.
func (c *Client) Console(ctx context.Context) (net.Conn, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	// The context ends the wait for the upgrade, not the attachment.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	attached, err := upgrade(conn)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, c.lost(ctx, err)
	}
	return attached, nil
}

func upgrade(conn net.Conn) (net.Conn, error) {
	request, err := http.NewRequest(http.MethodGet, "http://ferry"+PathConsole, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", ConsoleProtocol)
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		defer answer.Body.Close()
		return nil, failure(answer)
	}
	return bufferedConn{Conn: conn, reader: reader}, nil
}

// AcceptConsole answers a request for the console with 101 and returns the connection itself, a *net.UnixConn where the
// server listens on a Unix socket; closing it is the caller's. If it returns an error the request has been dealt with.
func AcceptConsole(w http.ResponseWriter, r *http.Request) (net.Conn, error) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), ConsoleProtocol) {
		err := Errorf(CodeBadRequest, "send Upgrade: "+ConsoleProtocol, "the console needs an upgrade of the connection")
		WriteError(w, err)
		return nil, err
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		WriteError(w, err)
		return nil, fmt.Errorf("api: console: %w", err)
	}
	if buffered.Reader.Buffered() > 0 { // it would be lost when the connection's descriptor is passed on
		conn.Close()
		return nil, Errorf(CodeBadRequest, "wait for 101 before typing", "the console was typed to before it was attached")
	}
	const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + ConsoleProtocol + "\r\n\r\n"
	if _, err := conn.Write([]byte(switching)); err != nil {
		conn.Close()
		return nil, fmt.Errorf("api: console: %w", err)
	}
	return conn, nil
}

// bufferedConn is a connection whose first bytes may wait in a reader.
type bufferedConn struct {
	net.Conn
	reader *bufio.Reader
}

func (c bufferedConn) Read(p []byte) (int, error) { return c.reader.Read(p) }
