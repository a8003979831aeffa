package balloon

import (
	"fmt"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// report serves a request: buffers that are free pages of the guest, which it
// does not touch until the request is done, section 5.5.6.7. They may then hold
// what they held before, or the pattern that the guest fills free pages with.
// Unless that is zeros, a hole is neither: the pages stay.
func (d *Device) report(c *virtio.Chain) (written uint32, err error) {
	if len(c.Readable) > 0 {
		return 0, fmt.Errorf("%w: free pages are reported in a buffer to read", virtio.ErrDriver)
	}
	if d.config.poisoned() {
		return 0, nil
	}
	for _, b := range c.Writable {
		first := (b.GPA + PageSize - 1) &^ (PageSize - 1)
		end := (b.GPA + uint64(len(b.Bytes))) &^ (PageSize - 1)
		if first < end {
			d.punch(first, end-first)
		}
	}
	return 0, nil
}
