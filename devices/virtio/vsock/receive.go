package vsock

import (
	"fmt"
	"slices"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// batch is how many packets the guest gets before it is told of them.
const batch = 32

// receiver sends packets to one driver.
type receiver struct {
	d         *Device
	queue     *virtio.Queue
	transport virtio.Transport
	chain     virtio.Chain
	failed    bool
	idle      bool // has found nothing to send: to be woken when there is; guarded by the device's lock
}

// step sends a batch.
func (r *receiver) step() (more bool) {
	if r.failed {
		return false
	}
	r.queue.NoKicks()
	for range batch {
		if !r.d.pending(r) {
			r.queue.Publish()
			return false
		}
		ok, err := r.queue.Pop(&r.chain)
		if err == nil && ok {
			err = r.send()
		}
		if err != nil {
			r.failed = true
			r.queue.Publish()
			r.transport.Fail(err)
			return false
		}
		if !ok {
			r.queue.Publish()
			return r.queue.WantKicks()
		}
	}
	r.queue.Publish()
	return true
}

// send puts a packet into the buffers that were popped, or gives them back.
func (r *receiver) send() error {
	room := virtio.Len(r.chain.Writable)
	if room <= headerSize || len(r.chain.Readable) > 0 {
		return fmt.Errorf("%w: %d bytes to receive a packet in; want more than a header of %d", virtio.ErrDriver, room, headerSize)
	}
	d := r.d
	d.mu.Lock()
	defer d.mu.Unlock()
	h, c, ok := d.next(int(min(room-headerSize, window)))
	if !ok {
		r.queue.Undo(1)
		return nil
	}
	var raw [headerSize]byte
	h.put(&raw)
	if h.op != opData {
		scatter(r.chain.Writable, 0, raw[:])
	} else {
		first, second := c.in.data(int(h.size))
		d.mu.Unlock()
		scatter(r.chain.Writable, 0, raw[:])
		scatter(r.chain.Writable, headerSize, first)
		scatter(r.chain.Writable, headerSize+len(first), second)
		d.mu.Lock()
		c.in.drop(int(h.size))
		c.changed.Broadcast()
	}
	r.queue.Push(&r.chain, headerSize+h.size)
	return nil
}

// pending tells whether there may be something to send; if not, the receiver is
// woken when there is.
func (d *Device) pending(r *receiver) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	r.idle = d.lost || len(d.resets) == 0 && len(d.ready) == 0
	return !r.idle
}

// next decides on a packet: connections take turns.
//
// Precondition: the lock is held.
func (d *Device) next(room int) (h header, c *conn, ok bool) {
	if len(d.resets) > 0 {
		h = d.resets[0]
		d.resets = slices.Delete(d.resets, 0, 1)
		if d.held {
			d.held = false
			d.transmitter.Wake()
		}
		return h, nil, true
	}
	for len(d.ready) > 0 {
		c = d.ready[0]
		d.ready = slices.Delete(d.ready, 0, 1)
		c.queued = false
		if h, ok = c.next(room); ok {
			if h.op == opReset {
				d.drop(c)
			} else {
				d.announce(c)
			}
			return h, c, true
		}
	}
	return h, nil, false
}

// announce puts a connection at the end of those that may have something for the
// guest.
//
// Precondition: the lock is held.
func (d *Device) announce(c *conn) {
	if c.queued || d.conns[c.ports] != c {
		return
	}
	c.queued = true
	d.ready = append(d.ready, c)
	d.wakeReceiver()
}

// drop ends a connection that the guest knows of no more.
//
// Precondition: the lock is held.
func (d *Device) drop(c *conn) {
	if c.queued {
		c.queued = false
		d.ready = slices.DeleteFunc(d.ready, func(o *conn) bool { return o == c })
	}
	delete(d.conns, c.ports)
	c.end()
}

// wakeReceiver lets the receiver look.
//
// Precondition: the lock is held.
func (d *Device) wakeReceiver() {
	if r := d.receiver; r != nil && r.idle && !d.lost {
		r.idle = false
		r.queue.Kick().Wake()
	}
}

// scatter copies to buffers, from an offset on. Precondition: there is room.
func scatter(to []virtio.Buffer, offset int, p []byte) {
	for _, b := range to {
		if offset >= len(b.Bytes) {
			offset -= len(b.Bytes)
			continue
		}
		n := copy(b.Bytes[offset:], p)
		if p, offset = p[n:], 0; len(p) == 0 {
			return
		}
	}
}
