package net

import (
	"os"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// Bench is a pair of queues without workers, for benchmarks that want nothing
// but the work.
type Bench struct{ p *pair }

// NewBench makes one on a queue of a tap; q is the queue that is used.
func NewBench(file *os.File) (*Bench, error) {
	s, err := newSocket(file)
	if err != nil {
		return nil, err
	}
	return &Bench{newPair(s, newBacklog(1), 0)}, nil
}

// Receive starts the receive queue and returns its step, and a count of packets.
func (b *Bench) Receive(q *virtio.Queue, d virtio.Driver) (step func() bool, count func() uint64) {
	b.p.rx.start(q, d, standardMTU)
	return b.p.rx.step, b.p.rx.packets.Load
}

// Send is what is done with each chain of a transmit queue.
func (b *Bench) Send(c *virtio.Chain) (uint32, error) { return b.p.tx.send(c) }
