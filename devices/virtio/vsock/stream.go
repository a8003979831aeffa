package vsock

import (
	"io"
	"net"
	"time"
)

// halves are what a stream can do that has two directions of its own, like a
// unix socket.
type halves interface {
	CloseRead() error
	CloseWrite() error
}

// run moves bytes until the connection is over, and closes the stream.
//
// Precondition: the connection is open, and the stream is its own.
func (c *conn) run(stream net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.read(stream)
	}()
	c.write(stream)
	<-done
}

// read moves bytes from the host, until its end or the guest's.
func (c *conn) read(stream net.Conn) {
	d := c.d
	d.mu.Lock()
	defer d.mu.Unlock()
	for c.stage == open && c.guestFlags&noReceive == 0 {
		if c.in.room() == 0 {
			c.changed.Wait()
			continue
		}
		space, _ := c.in.space(c.in.room())
		d.mu.Unlock()
		n, err := stream.Read(space)
		d.mu.Lock()
		c.in.add(n)
		if err != nil {
			c.hostFlags |= noSend
		}
		d.announce(c)
		if err != nil {
			break
		}
	}
	if h, ok := stream.(halves); ok && c.guestFlags&noReceive != 0 {
		d.mu.Unlock()
		defer d.mu.Lock()
		turnAway(stream, h)
	}
}

// turnAway lets a host program that writes know that nobody reads: also one that
// waits until there is room for what it writes.
func turnAway(stream net.Conn, h halves) {
	if h.CloseRead() != nil || stream.SetReadDeadline(time.Time{}) != nil {
		return // it is gone
	}
	_, _ = io.Copy(io.Discard, stream) // ends at once, since nothing more can come
}

// write moves bytes to the host, until the connection is over and all have gone.
func (c *conn) write(stream net.Conn) {
	d := c.d
	d.mu.Lock()
	defer d.mu.Unlock()
	for closed := false; ; {
		switch {
		case c.out.count > 0:
			data, _ := c.out.data(c.out.count)
			d.mu.Unlock()
			n, err := stream.Write(data)
			d.mu.Lock()
			if err != nil {
				c.hostFlags |= noReceive
				n = c.out.count
			}
			c.forward(n)
		case c.stage == over:
			return
		case c.guestFlags&noSend != 0 && !closed:
			closed = true
			if h, ok := stream.(halves); ok {
				_ = h.CloseWrite() // fails when the host has gone: then it knows
			}
		default:
			c.changed.Wait()
		}
	}
}

// forward drops n bytes that the host has got, or will not take.
//
// Precondition: the device's lock is held.
func (c *conn) forward(n int) {
	c.out.drop(n)
	c.credit.forwarded += uint32(n)
	if c.credit.due() || c.hostFlags != c.shutFlags {
		c.d.announce(c)
	}
}

// took adds n bytes that the guest has sent.
//
// Precondition: the device's lock is held.
func (c *conn) took(n int) {
	c.out.add(n)
	if c.hostFlags&noReceive != 0 {
		c.forward(c.out.count) // nobody takes them, which the guest learns
	}
	c.changed.Broadcast()
}
