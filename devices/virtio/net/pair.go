package net

import (
	"context"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// queueSize is the largest size of each queue, in descriptors.
const queueSize = 256

// pair is a receive queue and a transmit queue, on one queue of the tap.
type pair struct {
	tap *socket
	rx  *receiver
	tx  *transmitter

	workers  virtio.Workers
	complete bool // the driver uses both queues
}

func newPair(s *socket) *pair {
	return &pair{tap: s, rx: newReceiver(s), tx: newTransmitter(s)}
}

// start gives the pair its driver. It stays at rest.
func (p *pair) start(rx, tx *virtio.Queue, d virtio.Driver, mtu int) {
	if rx != nil {
		p.rx.start(rx, d, mtu)
		p.workers.Start(virtio.NewWorker(p.rx, p.rx.step))
	}
	if tx != nil {
		p.workers.Start(virtio.Serve(tx, d.Transport, p.tx.send))
	}
	p.complete = rx != nil && tx != nil
}

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
