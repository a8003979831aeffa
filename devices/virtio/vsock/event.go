package vsock

import (
	"fmt"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// eventSize is an event's, in bytes; the one that there is has the number 0:
// transport reset, section 5.10.6.6.
const eventSize = 4

// reporter tells one driver that its connections are lost.
type reporter struct {
	d         *Device
	queue     *virtio.Queue
	transport virtio.Transport
	chain     virtio.Chain
	failed    bool
}

// step tells it, if there is something to tell.
func (r *reporter) step() (more bool) {
	if r.failed || !r.d.isLost() {
		return false
	}
	ok, err := r.queue.Pop(&r.chain)
	if err == nil && ok && virtio.Len(r.chain.Writable) < eventSize {
		err = fmt.Errorf("%w: %d bytes for an event of %d", virtio.ErrDriver, virtio.Len(r.chain.Writable), eventSize)
	}
	if err != nil {
		r.failed = true
		r.transport.Fail(err)
		return false
	}
	if !ok {
		return r.queue.WantKicks()
	}
	scatter(r.chain.Writable, 0, make([]byte, eventSize))
	r.queue.Push(&r.chain, eventSize)
	r.queue.Publish()
	r.d.found()
	return false
}

func (d *Device) isLost() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lost
}

// found says that the guest knows, or has forgotten, its lost connections:
// there may be new ones.
func (d *Device) found() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lost = false
	if r := d.receiver; r != nil && len(d.resets)+len(d.ready) > 0 {
		d.wakeReceiver()
	}
}
