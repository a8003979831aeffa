package net

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// Commands, section 5.1.6.5: the class is the high byte.
const (
	rxPromiscuous  = 0x0000
	rxAllMulticast = 0x0001
	macTableSet    = 0x0100
	macSet         = 0x0101
	announceAck    = 0x0300
	pairsSet       = 0x0400
	offloadsSet    = 0x0500
)

// commands are those that are known, and the feature that each needs.
var commands = map[uint16]uint64{
	rxPromiscuous:  featureControlRx,
	rxAllMulticast: featureControlRx,
	macTableSet:    featureControlRx,
	macSet:         featureControlMAC,
	announceAck:    featureAnnounce,
	pairsSet:       featureMultiQueue,
	offloadsSet:    featureGuestOffloads,
}

// What a command is answered with.
const (
	ackOK  = 0
	ackErr = 1
)

// commandSize is that of class and command, in bytes.
const commandSize = 2

// controller serves the control queue: one command a step, since what the tap
// is told may take the kernel milliseconds, and a pause must not wait for many.
type controller struct {
	device *Device
	queue  *virtio.Queue
	driver virtio.Driver
	chain  virtio.Chain
	ended  bool // nothing can be done before a reset
}

// step serves a command.
func (c *controller) step() (more bool) {
	if c.ended {
		return false
	}
	ok, err := c.queue.Pop(&c.chain)
	if err == nil && !ok {
		return c.queue.WantKicks()
	}
	if err == nil {
		err = c.answer()
	}
	if err != nil {
		c.ended = true
		c.driver.Transport.Fail(fmt.Errorf("control queue: %w", err))
		return false
	}
	c.queue.Push(&c.chain, 1)
	c.queue.Publish()
	return true
}

// answer does what the chain asks for and says in it whether that was possible.
func (c *controller) answer() error {
	m := command(c.chain.Readable)
	var head [commandSize]byte
	if !m.read(0, head[:]) || len(c.chain.Writable) == 0 {
		return fmt.Errorf("%w: no command, or no room for its answer", virtio.ErrDriver)
	}
	answer := byte(ackErr)
	if c.do(binary.BigEndian.Uint16(head[:]), m) {
		answer = ackOK
	}
	c.chain.Writable[0].Bytes[0] = answer
	return nil
}

// do carries a command out and tells whether it could.
func (c *controller) do(number uint16, m command) bool {
	if needs, known := commands[number]; !known || !c.driver.Has(needs) {
		return false
	}
	var b [8]byte
	switch number {
	case rxPromiscuous, rxAllMulticast:
		// All that the tap gives is received anyway, which section 5.1.6.5.1 allows.
		return m.data(b[:1])
	case macTableSet:
		return m.isMACTable()
	case macSet:
		return m.data(b[:6]) && c.setMAC([6]byte(b[:6]))
	case announceAck:
		c.device.status.change(0, announce, nil)
		return true
	case pairsSet:
		return m.data(b[:2]) && c.setPairs(int(binary.LittleEndian.Uint16(b[:])))
	case offloadsSet:
		return m.data(b[:8]) && c.setOffloads(binary.LittleEndian.Uint64(b[:]))
	}
	return false
}

// setMAC gives the device another address.
func (c *controller) setMAC(mac [6]byte) bool {
	if mac[0]&1 != 0 || mac == [6]byte{} {
		return false
	}
	c.device.status.setMAC(mac)
	return true
}

// setPairs has the device use the first n pairs of queues.
func (c *controller) setPairs(n int) bool {
	d := c.device
	if n < 1 || n > len(d.pairs) {
		return false
	}
	for _, p := range d.pairs[:n] {
		if !p.complete {
			return false
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
		d.pairs[i].workers.Resume()
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

// data copies the data, of which there must be just so much.
func (m command) data(p []byte) bool {
	return virtio.Len(m) == commandSize+uint64(len(p)) && m.read(commandSize, p)
}

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
