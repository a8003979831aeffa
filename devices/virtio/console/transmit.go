package console

import (
	"fmt"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// maxOutput is how much of a request is printed. A line discipline's buffer has
// 4 KiB; nobody reads what is beyond this.
const maxOutput = 64 << 10

// transmit serves a request: bytes that the guest sends.
func (d *Device) transmit(c *virtio.Chain) (written uint32, err error) {
	if len(c.Writable) > 0 {
		return 0, fmt.Errorf("%w: a request to transmit has buffers to write", virtio.ErrDriver)
	}
	left := maxOutput
	for _, b := range c.Readable {
		n := min(left, len(b.Bytes))
		_, _ = d.output.Write(b.Bytes[:n]) // who does not listen misses it
		if left -= n; left == 0 {
			break
		}
	}
	return 0, nil
}
