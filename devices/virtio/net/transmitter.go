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
	tap       *socket
	vector    vector
	inspector Inspector // nil: none
	head      []byte    // for what it is to see, behind the header

	packets, bytes, drops, refused atomic.Uint64
}

func newTransmitter(tap *socket) *transmitter {
	return &transmitter{tap: tap, vector: make(vector, 0, queueSize+1)}
}

// inspectWith has it ask i, if that is not nil.
func (t *transmitter) inspectWith(i Inspector) {
	if t.inspector = i; i != nil {
		t.head = make([]byte, headerSize+headSize)
	}
}

// send hands a packet to the tap, which judges its header.
func (t *transmitter) send(c *virtio.Chain) (written uint32, err error) {
	if len(c.Writable) > 0 {
		return 0, fmt.Errorf("%w: transmit queue: a packet with buffers to write", virtio.ErrDriver)
	}
	n := virtio.Len(c.Readable)
	if n < headerSize+ethernetSize || n > maxPacket {
		t.drops.Add(1)
		return 0, nil
	}
	v, done := t.vector[:0], 0
	if t.inspector != nil {
		// What was inspected is what is sent, whatever the guest writes meanwhile.
		done = gather(t.head, c.Readable)
		if !inspect(t.inspector, t.head[:done], int(n)) {
			t.refused.Add(1)
			return 0, nil
		}
		v = v.add(t.head[:done])
	}
	for _, b := range c.Readable {
		skip := min(done, len(b.Bytes))
		done -= skip
		if skip < len(b.Bytes) {
			v = v.add(b.Bytes[skip:])
		}
	}
	if _, err := v.writev(t.tap.fd); err != nil {
		t.drops.Add(1)
		return 0, nil
	}
	t.packets.Add(1)
	t.bytes.Add(n - headerSize)
	return 0, nil
}
