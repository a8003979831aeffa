package vsock

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// maxConns is how many connections there can be.
	maxConns = 256
	// maxLine is how long a host program's request can be, in bytes.
	maxLine = 32
	// greetFor bounds how long a host program takes to say which port it wants,
	// and openFor how long either side takes to answer the other.
	greetFor = 5 * time.Second
	openFor  = 5 * time.Second
	// flushFor bounds how long Close waits for host programs that do not read.
	flushFor = time.Second
	// hostPorts are those that host programs are given, from here on.
	hostPorts = 1 << 30
)

// errGreeting is what is wrong with a host program's first line.
var errGreeting = errors.New("want CONNECT and a port")

// newConn adds a connection, whose goroutine the caller starts; nil if there are
// too many.
//
// Precondition: the lock is held.
func (d *Device) newConn(s stage) (*conn, context.Context) {
	if d.closed || len(d.live) >= maxConns || len(d.conns) >= maxConns {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), openFor)
	c := &conn{d: d, cancel: cancel, stage: s, changed: sync.NewCond(&d.mu)}
	d.live[c] = struct{}{}
	d.running.Add(1)
	return c, ctx
}

// gone forgets a connection whose goroutines have ended.
func (d *Device) gone(c *conn) {
	c.cancel()
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.stream != nil {
		_ = c.stream.Close()
	}
	delete(d.live, c)
	d.running.Done()
}

// Accept gives the guest a connection of a host program, which first says what
// it wants: "CONNECT port\n". When the guest has accepted, the host program gets
// "OK hostport\n" and then the guest's stream; else the connection is closed. The
// device owns it from now on.
func (d *Device) Accept(stream net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c, _ := d.newConn(greeting)
	if c == nil {
		_ = stream.Close()
		return
	}
	c.stream = stream
	_ = stream.SetReadDeadline(time.Now().Add(greetFor)) // here, so that it does not undo that of Close
	go func() {
		defer d.gone(c)
		if rest, ok := c.greet(stream); ok {
			d.mu.Lock()
			c.in.add(copy(c.in.buf, rest))
			d.announce(c)
			d.mu.Unlock()
			c.run(stream)
		}
	}()
}

// greet does what a host program asks for, and tells whether the connection is
// open. rest is what the program has sent behind its request.
func (c *conn) greet(stream net.Conn) (rest []byte, ok bool) {
	port, rest, err := readGreeting(stream)
	if err != nil || !c.d.ask(c, port) {
		return nil, false
	}
	_, err = fmt.Fprintf(stream, "OK %d\n", c.host)
	return rest, err == nil || c.d.abandon(c)
}

// abandon ends a connection whose host program has gone before it began.
func (d *Device) abandon(c *conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.stage == open {
		c.fail()
	}
	return false
}

// readGreeting reads a host program's request, and takes the deadline away.
func readGreeting(stream net.Conn) (port uint32, rest []byte, err error) {
	line := make([]byte, 0, maxLine)
	for {
		n, err := stream.Read(line[len(line):maxLine])
		line = line[:len(line)+n]
		if end := bytes.IndexByte(line, '\n'); end >= 0 {
			port, err := parseGreeting(string(line[:end]))
			return port, line[end+1:], errors.Join(err, stream.SetReadDeadline(time.Time{}))
		}
		if err != nil {
			return 0, nil, err
		}
		if len(line) == maxLine {
			return 0, nil, errGreeting
		}
	}
}

func parseGreeting(line string) (port uint32, err error) {
	word, number, _ := strings.Cut(strings.TrimSpace(line), " ")
	if !strings.EqualFold(word, "CONNECT") {
		return 0, errGreeting
	}
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errGreeting, err)
	}
	return uint32(n), nil
}

// ask asks the guest for a connection to its port, and waits for the answer.
func (d *Device) ask(c *conn, port uint32) (opened bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.stage != greeting || d.receiver == nil || len(d.conns) >= maxConns {
		return false
	}
	c.ports = ports{d.freePort(port), port}
	d.conns[c.ports] = c
	c.stage, c.request = asking, true
	d.announce(c)
	timer := time.AfterFunc(openFor, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if c.stage == asking {
			c.fail()
		}
	})
	defer timer.Stop()
	for c.stage == asking {
		c.changed.Wait()
	}
	return c.stage == open
}

// freePort is a port of the host that has no connection to the guest's.
//
// Precondition: the lock is held.
func (d *Device) freePort(guest uint32) uint32 {
	for {
		d.lastPort = max(d.lastPort+1, hostPorts)
		if _, taken := d.conns[ports{d.lastPort, guest}]; !taken {
			return d.lastPort
		}
	}
}

// dial asks the host for a connection that the guest wants.
func (d *Device) dial(ctx context.Context, c *conn) {
	defer d.gone(c)
	stream, err := d.host.Dial(ctx, c.host)
	d.mu.Lock()
	if err == nil {
		c.stream = stream
	}
	opened := err == nil && c.stage == dialing
	switch {
	case opened:
		c.open()
		c.respond = true
		d.announce(c)
	case c.stage == dialing:
		c.fail()
	}
	d.mu.Unlock()
	if opened {
		c.run(stream)
	}
}

// open lets bytes flow.
//
// Precondition: the device's lock is held.
func (c *conn) open() {
	c.stage = open
	c.in.buf, c.out.buf = make([]byte, window), make([]byte, window)
	c.changed.Broadcast()
}
