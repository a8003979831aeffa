package vsock

import (
	"context"
	"net"
	"sync"
	"time"
)

// ports name a connection between the guest and its host.
type ports struct{ host, guest uint32 }

// stage is how far a connection is.
type stage int

const (
	greeting stage = iota // a host program has not yet said what it wants
	dialing               // the host is asked, for the guest
	asking                // the guest is asked, for a host program
	open                  // bytes may flow
	over                  // it ends, when the host has got what the guest sent
)

// conn is a connection. Two goroutines move bytes between its rings and the
// host; the workers move them between the rings and the guest.
type conn struct {
	d      *Device
	cancel context.CancelFunc // of dialing

	// The device's lock guards what follows.
	ports
	stage   stage
	changed *sync.Cond // something of this did
	stream  net.Conn   // the host's end; nil while there is none
	in, out ring       // to the guest, to the host
	credit  credit

	queued  bool // in the device's list of those that have something for the guest
	request bool // to be sent
	respond bool // to be sent
	reset   bool // to be sent, after which the guest knows of the connection no more

	hostFlags  uint32 // of a shutdown: what the host will not do any more
	shutFlags  uint32 // of these, what the guest was told
	guestFlags uint32 // what the guest will not do any more
}

// next decides on a packet for the guest, whose data, if any, are the oldest
// bytes of in, at most room. ok is false if there is nothing to send.
//
// Precondition: the device's lock is held.
func (c *conn) next(room int) (h header, ok bool) {
	h = header{srcCID: hostCID, dstCID: c.d.cid, srcPort: c.host, dstPort: c.guest, kind: typeStream}
	flags := c.shutdown()
	switch {
	case c.reset:
		h.op = opReset
	case c.request:
		c.request = false
		h.op = opRequest
	case c.respond:
		c.respond = false
		h.op = opResponse
	case c.stage != open:
		return h, false
	case c.waiting() > 0 && c.credit.room() > 0:
		h.op = opData
		h.size = min(uint32(c.waiting()), c.credit.room(), uint32(room))
		c.credit.sent += h.size
	case c.waiting() > 0 && !c.credit.asked:
		c.credit.asked = true
		h.op = opCreditRequest
	case flags != c.shutFlags:
		c.shutFlags = flags
		h.op, h.flags = opShutdown, flags
	case c.credit.due():
		h.op = opCreditUpdate
	default:
		return h, false
	}
	c.credit.tell(&h)
	return h, true
}

// waiting is how many bytes there are for the guest, if it wants them.
func (c *conn) waiting() int {
	if c.guestFlags&noReceive != 0 {
		return 0
	}
	return c.in.count
}

// shutdown is what the guest should know that the host will not do any more: it
// sends until all is sent.
func (c *conn) shutdown() uint32 {
	if c.waiting() > 0 {
		return c.hostFlags &^ noSend
	}
	return c.hostFlags
}

// fail ends a connection that the guest knows, and tells it.
//
// Precondition: the device's lock is held.
func (c *conn) fail() {
	c.end()
	c.reset = true
	c.d.announce(c)
}

// end lets the goroutines come to their end: the host still gets what the guest
// has sent, and the guest gets nothing more.
//
// Precondition: the device's lock is held.
func (c *conn) end() {
	c.stage = over
	c.cancel()
	c.stopReading()
	c.changed.Broadcast()
}

// stopReading ends a read from the host that is going on, and all that follow.
//
// Precondition: the device's lock is held.
func (c *conn) stopReading() {
	if c.stream != nil {
		_ = c.stream.SetReadDeadline(time.Unix(1, 0)) // fails for what is closed already
	}
}
