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

	rxWorker, txWorker *virtio.Worker // nil: the driver does not use the queue
}

func newPair(s *socket) *pair {
	return &pair{tap: s, rx: newReceiver(s), tx: newTransmitter(s)}
}

// start gives the pair its driver. It stays at rest.
func (p *pair) start(rx, tx *virtio.Queue, d virtio.Driver, mtu int) {
	if rx != nil {
		p.rx.start(rx, d, mtu)
		p.rxWorker = virtio.NewWorker(p.rx, p.rx.step)
	}
	if tx != nil {
		p.tx.start(tx, d)
		p.txWorker = virtio.NewWorker(tx.Kick(), p.tx.step)
	}
}

// resume lets it work.
func (p *pair) resume() {
	for _, w := range p.workers() {
		w.Resume()
	}
}

// quiesce puts it at rest, with nothing popped.
func (p *pair) quiesce(ctx context.Context) error {
	for _, w := range p.workers() {
		if err := w.Quiesce(ctx); err != nil {
			return err
		}
	}
	if p.rxWorker != nil {
		p.rx.rest()
	}
	return nil
}

// stop takes the driver away, and what was held for it.
func (p *pair) stop() {
	for _, w := range p.workers() {
		w.Stop()
	}
	if p.rxWorker != nil {
		p.rx.rest()
	}
	p.rx.held = 0
	p.rxWorker, p.txWorker = nil, nil
}

func (p *pair) workers() []*virtio.Worker {
	var all []*virtio.Worker
	for _, w := range []*virtio.Worker{p.rxWorker, p.txWorker} {
		if w != nil {
			all = append(all, w)
		}
	}
	return all
}
