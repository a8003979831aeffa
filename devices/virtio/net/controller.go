package net

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// Commands, section 5.1.6.5: class in the high byte.
const (
	rxPromiscuous  = 0x0000
	rxAllMulticast = 0x0001
	macTableSet    = 0x0100
	macSet         = 0x0101
	announceAck    = 0x0300
	pairsSet       = 0x0400
	offloadsSet    = 0x0500
)

// What a command is answered with.
const (
	ackOK  = 0
	ackErr = 1
)

// commandSize is that of class and command, in bytes.
const commandSize = 2

// controller serves the control queue. A driver waits for its answers; there is
// one command at a time.
type controller struct {
	device *Device
	queue  *virtio.Queue
	driver virtio.Driver
	chain  virtio.Chain
	ended  bool // nothing can be done before a reset
}

// step serves one command.
func (c *controller) step() (more bool) {
	if c.ended {
		return false
	}
	ok, err := c.queue.Pop(&c.chain)
	if ok && (virtio.Len(c.chain.Readable) < commandSize || len(c.chain.Writable) == 0) {
		err = fmt.Errorf("%w: no command, or no room for its answer", virtio.ErrDriver)
	}
	if err != nil {
		c.ended = true
		c.driver.Transport.Fail(fmt.Errorf("control queue: %w", err))
		return false
	}
	if !ok {
		return c.queue.WantKicks()
	}
	answer := byte(ackErr)
	if c.serve(command(c.chain.Readable)) {
		answer = ackOK
	}
	c.chain.Writable[0].Bytes[0] = answer
	c.queue.Push(&c.chain, 1)
	c.queue.Publish()
	return true
}

// serve carries a command out and tells whether it could.
func (c *controller) serve(m command) bool {
	d := c.device
	var b [8]byte
	if !m.read(0, b[:commandSize]) {
		return false
	}
	switch binary.BigEndian.Uint16(b[:]) {
	case rxPromiscuous, rxAllMulticast:
		// All that the tap gives is received anyway, which section 5.1.6.5.1 allows.
		return c.driver.Has(featureControlRx) && m.size() == 1
	case macTableSet:
		return c.driver.Has(featureControlRx) && m.isMACTable()
	case macSet:
		if !c.driver.Has(featureControlMAC) || m.size() != 6 || !m.read(commandSize, b[:6]) {
			return false
		}
		mac := [6]byte(b[:6])
		if mac[0]&1 != 0 || mac == [6]byte{} {
			return false
		}
		d.setMAC(mac)
		return true
	case announceAck:
		d.config.And(^announce)
		return c.driver.Has(featureAnnounce)
	case pairsSet:
		if !c.driver.Has(featureMultiQueue) || m.size() != 2 || !m.read(commandSize, b[:2]) {
			return false
		}
		return c.setPairs(int(binary.LittleEndian.Uint16(b[:])))
	case offloadsSet:
		if !c.driver.Has(featureGuestOffloads) || m.size() != 8 || !m.read(commandSize, b[:8]) {
			return false
		}
		return c.setOffloads(binary.LittleEndian.Uint64(b[:]))
	}
	return false
}

// setPairs has the device use the first n pairs of queues.
func (c *controller) setPairs(n int) bool {
	d := c.device
	if n < 1 || n > len(d.pairs) {
		return false
	}
	for _, p := range d.pairs[:n] {
		if p.rxWorker == nil || p.txWorker == nil {
			return false // the driver has not set them up
		}
	}
	before := d.inUse
	for _, p := range d.pairs[n:] {
		_ = p.quiesce(context.Background()) // cannot fail: steps are short
	}
	if err := d.use(n); err != nil {
		d.log.Warn("queue pairs of a network device", "wanted", n, "error", err)
	}
	for i := min(n, before); i < d.inUse; i++ {
		d.pairs[i].resume()
	}
	return d.inUse == n
}

// setOffloads changes what the driver takes, which is among what it accepted.
func (c *controller) setOffloads(offloads uint64) bool {
	d := c.device
	if offloads&^(c.driver.Features&guestOffloads) != 0 {
		return false
	}
	if err := d.tap.offload(tapOffloads(offloads)); err != nil {
		d.log.Warn("offloads of a network device", "error", err)
		return false
	}
	d.offloads, d.offloadsSet = offloads, true
	return true
}

// command is one as the driver wrote it: class, command, and data. The driver
// may change it at any time, so each piece is read once.
type command []virtio.Buffer

// size is that of the data, in bytes.
func (m command) size() uint64 { return virtio.Len(m) - commandSize }

// read copies from an offset. It is false unless all of p is there.
func (m command) read(offset uint64, p []byte) bool {
	for _, b := range m {
		n := uint64(len(b.Bytes))
		if offset >= n {
			offset -= n
			continue
		}
		p, offset = p[copy(p, b.Bytes[offset:]):], 0
	}
	return len(p) == 0
}

// isMACTable tells whether the data are two lists of addresses, each behind its
// length.
func (m command) isMACTable() bool {
	at, end := uint64(commandSize), virtio.Len(m)
	for range 2 {
		var count [4]byte
		if !m.read(at, count[:]) {
			return false
		}
		at += 4 + 6*uint64(binary.LittleEndian.Uint32(count[:]))
	}
	return at == end
}
