package console

import (
	"fmt"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// Feed gives the guest input and returns how many bytes it had room for; when
// there is room again, Config.Room is called. It is called by one goroutine.
func (d *Device) Feed(p []byte) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := d.receive
	if q == nil || !d.working {
		return 0
	}
	fed := 0
	for fed < len(p) {
		ok, err := q.Pop(&d.chain)
		if err == nil && ok && (len(d.chain.Readable) > 0 || len(d.chain.Writable) == 0) {
			err = fmt.Errorf("%w: a buffer to receive input in cannot be written", virtio.ErrDriver)
		}
		if err != nil {
			d.receive = nil // of no more use
			d.driver.Transport.Fail(err)
			break
		}
		if !ok {
			if q.WantKicks() {
				continue
			}
			break
		}
		n := fill(&d.chain, p[fed:])
		q.Push(&d.chain, uint32(n))
		fed += n
	}
	q.Publish()
	return fed
}

// fill copies to the buffers of a chain what fits.
func fill(c *virtio.Chain, p []byte) int {
	total := 0
	for _, b := range c.Writable {
		n := copy(b.Bytes, p[total:])
		if total += n; total == len(p) {
			break
		}
	}
	return total
}

// announceRoom follows a kick: the guest has given buffers.
func (d *Device) announceRoom() (more bool) {
	d.room()
	return false
}
