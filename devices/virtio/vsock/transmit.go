package vsock

import (
	"fmt"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// maxResets is how many answers to packets without a connection wait until the
// guest has room for them. Then nothing more is taken from it, section 5.10.6.1.1.
const maxResets = 64

// transmit takes a packet of the guest.
func (d *Device) transmit(chain *virtio.Chain) (written uint32, err error) {
	var raw [headerSize]byte
	size := virtio.Len(chain.Readable)
	if size < headerSize || len(chain.Writable) > 0 {
		return 0, fmt.Errorf("%w: a packet of %d bytes; want a header of %d", virtio.ErrDriver, size, headerSize)
	}
	gather(raw[:], chain.Readable, 0)
	h := parseHeader(&raw)
	if uint64(h.size) > size-headerSize {
		return 0, fmt.Errorf("%w: a packet of %d bytes says that %d follow its header", virtio.ErrDriver, size, h.size)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if h.srcCID != d.cid {
		return 0, nil // from somebody else: nobody to answer
	}
	c := d.conns[ports{host: h.dstPort, guest: h.srcPort}]
	switch {
	case h.dstCID != hostCID || h.kind != typeStream:
		return 0, d.refuse(h)
	case c != nil:
		c.take(h, chain)
		return 0, nil
	case h.op == opRequest && d.request(h):
		return 0, nil
	}
	return 0, d.refuse(h)
}

// refuse answers a packet for which there is no connection.
func (d *Device) refuse(h header) error {
	switch {
	case h.op == opReset:
		return nil
	case len(d.resets) == maxResets:
		d.held = true
		return virtio.ErrLater
	}
	d.resets = append(d.resets, h.reset())
	d.wakeReceiver()
	return nil
}

// request begins a connection that the guest wants, if there can be another.
func (d *Device) request(h header) bool {
	c, ctx := d.newConn(dialing)
	if c == nil {
		return false
	}
	c.ports = ports{host: h.dstPort, guest: h.srcPort}
	c.credit.learn(h)
	d.conns[c.ports] = c
	go d.dial(ctx, c)
	return true
}

// take takes a packet of a connection.
func (c *conn) take(h header, chain *virtio.Chain) {
	if c.reset { // the guest will learn that it is over
		if h.op == opReset {
			c.d.drop(c)
		}
		return
	}
	if c.credit.learn(h) && c.waiting() > 0 {
		c.d.announce(c)
	}
	switch {
	case h.op == opReset:
		c.d.drop(c)
	case h.op == opResponse && c.stage == asking:
		c.open()
	case h.op == opShutdown && c.stage == open:
		c.shut(h.flags)
	case h.op == opData && c.stage == open && c.guestFlags&noSend == 0 && int(h.size) <= c.out.room():
		c.takeData(int(h.size), chain)
	case h.op == opCreditUpdate:
	case h.op == opCreditRequest:
		c.credit.wanted = true
		c.d.announce(c)
	default: // out of turn, more than there is room for, or unknown
		c.fail()
	}
}

// takeData copies data of the guest. It does so without the lock, so that other
// connections go on.
func (c *conn) takeData(n int, chain *virtio.Chain) {
	first, second := c.out.space(n)
	c.d.mu.Unlock()
	gather(first, chain.Readable, headerSize)
	gather(second, chain.Readable, headerSize+len(first))
	c.d.mu.Lock()
	c.took(n)
}

// shut takes what the guest will not do any more. If that is all, the connection
// is over, and a reset says that we know, section 5.10.6.5.
func (c *conn) shut(flags uint32) {
	c.guestFlags |= flags & noMore
	if c.guestFlags == noMore {
		c.fail()
		return
	}
	if c.guestFlags&noReceive != 0 {
		c.stopReading()
	}
	c.changed.Broadcast()
}

// gather copies bytes of buffers, from an offset on. Precondition: there are as many.
func gather(p []byte, from []virtio.Buffer, offset int) {
	for _, b := range from {
		if offset >= len(b.Bytes) {
			offset -= len(b.Bytes)
			continue
		}
		n := copy(p, b.Bytes[offset:])
		if p, offset = p[n:], 0; len(p) == 0 {
			return
		}
	}
}
