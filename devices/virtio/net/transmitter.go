package net

import (
	"fmt"
	"sync/atomic"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// transmitter moves packets from a transmit queue to a queue of the tap.
//
// A packet that the tap does not take is dropped and counted, as a network
// does: because its header makes no sense, because the tap is down, or, if
// somebody limited the tap's send buffer, because that is full.
type transmitter struct {
	tap    *socket
	queue  *virtio.Queue
	fail   func(error) // the driver broke the rules
	chain  virtio.Chain
	vector vector
	ended  bool // nothing can be done before a reset

	packets, bytes, drops atomic.Uint64
}

func newTransmitter(tap *socket) *transmitter {
	return &transmitter{tap: tap, vector: make(vector, 0, queueSize)}
}

// start gives it its driver. Precondition: it is at rest.
func (t *transmitter) start(q *virtio.Queue, d virtio.Driver) {
	t.queue, t.fail, t.ended = q, d.Transport.Fail, false
}

// step sends packets until there are none.
func (t *transmitter) step() (more bool) {
	if t.ended {
		return false
	}
	t.queue.NoKicks()
	limit := t.bytes.Load() + batchBytes
	for n := 0; n < batchPackets && t.bytes.Load() < limit; n++ {
		ok, err := t.queue.Pop(&t.chain)
		if ok && len(t.chain.Writable) > 0 {
			err = fmt.Errorf("%w: a packet with buffers to write", virtio.ErrDriver)
		}
		if err != nil {
			t.ended = true
			t.fail(fmt.Errorf("transmit queue: %w", err))
			return false
		}
		if !ok {
			t.queue.Publish()
			return t.queue.WantKicks()
		}
		t.send(t.chain.Readable)
		t.queue.Push(&t.chain, 0)
	}
	t.queue.Publish()
	return true
}

// send hands a packet to the tap, which judges its header.
func (t *transmitter) send(packet []virtio.Buffer) {
	n := virtio.Len(packet)
	if n < headerSize+ethernetSize || n > maxPacket {
		t.drops.Add(1)
		return
	}
	v := t.vector[:0]
	for _, b := range packet {
		v = v.add(b.Bytes)
	}
	if _, err := v.writev(t.tap.fd); err != nil {
		t.drops.Add(1)
		return
	}
	t.packets.Add(1)
	t.bytes.Add(n - headerSize)
}
