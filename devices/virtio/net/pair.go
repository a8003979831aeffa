package net

import (
	"context"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// queueSize is the largest size of each queue, in descriptors.
const queueSize = 256

// pair is a receive queue and a transmit queue, on one queue of the tap. One
// worker serves both: a packet that is answered needs one thread to be woken,
// not two in turn.
type pair struct {
	tap *socket
	rx  *receiver
	tx  *transmitter

	sender         *virtio.Server
	buffers, sends *virtio.Kick // of the queues; nil: the driver does not use it

	workers  virtio.Workers
	complete bool // the driver uses both queues
}

func newPair(s *socket, b *backlog, number int) *pair {
	return &pair{tap: s, rx: newReceiver(s, b, number), tx: newTransmitter(s)}
}

// start gives the pair its driver. It stays at rest. Either queue may be nil.
func (p *pair) start(rx, tx *virtio.Queue, d virtio.Driver, mtu int) {
	p.complete = rx != nil && tx != nil
	p.buffers, p.sends = nil, nil
	if rx != nil {
		p.rx.start(rx, d, mtu)
		p.buffers = rx.Kick()
	}
	if tx != nil {
		p.sender = virtio.NewServer(tx, d.Transport, p.tx.send)
		p.sends = tx.Kick()
	}
	if rx != nil || tx != nil {
		p.workers.Start(virtio.NewWorker(p, p.step))
	}
}

// step moves packets both ways.
func (p *pair) step() (more bool) {
	if p.buffers != nil {
		more = p.rx.step()
	}
	if p.sends != nil && p.sender.Step() {
		more = true
	}
	return more
}

// Wait implements virtio.Waiter. It waits for something to send, and for a
// packet, or, while there is no room for one, for buffers. Of packets that come before the tap's it is woken.
func (p *pair) Wait() {
	switch {
	case p.buffers == nil || p.rx.ended || p.rx.barred:
		p.tap.wait(false, nil, p.sends)
	case p.rx.starved:
		p.tap.wait(false, p.buffers, p.sends)
	default:
		p.tap.wait(true, nil, p.sends)
	}
}

// Wake implements virtio.Waiter.
func (p *pair) Wake() { p.tap.wake() }

// quiesce puts it at rest, with nothing popped.
func (p *pair) quiesce(ctx context.Context) error {
	if err := p.workers.Quiesce(ctx); err != nil {
		return err
	}
	p.rx.rest()
	return nil
}

// stop takes the driver away, and what was held for it.
func (p *pair) stop() {
	p.workers.Stop()
	_ = p.workers.Quiesce(context.Background()) // there are none: those to come begin at rest
	p.rx.stop()
	p.complete = false
}
