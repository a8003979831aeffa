package balloon

import (
	"encoding/binary"
	"fmt"

	"github.com/ferryvmm/ferry/devices/virtio"
)

const (
	entrySize = 4 // bytes of a page number, section 5.5.6

	// maxEntries is how many page numbers of a request are looked at, so that no
	// step is long. Drivers send 256; the pages beyond are the guest's to keep.
	maxEntries = 4096
)

// run is pages that follow each other.
type run struct{ first, count uint64 }

// add makes the run longer by a page at either end, if it can.
func (r *run) add(page uint64) bool {
	switch {
	case r.count == 0:
		r.first = page
	case page == r.first+r.count:
	case page+1 == r.first:
		r.first = page
	default:
		return false
	}
	r.count++
	return true
}

// inflate serves a request: numbers of pages that the guest gives. Their content
// is lost with that, section 5.5.6.1.
func (d *Device) inflate(c *virtio.Chain) (written uint32, err error) {
	if err := checkNumbers(c); err != nil {
		return 0, err
	}
	var r run
	left := maxEntries
	for _, b := range c.Readable {
		// A number that is cut in two by buffers is none: no driver does that.
		for p := b.Bytes; len(p) >= entrySize && left > 0; p, left = p[entrySize:], left-1 {
			if page := uint64(binary.LittleEndian.Uint32(p)); !r.add(page) {
				d.punch(r.first*PageSize, r.count*PageSize)
				r = run{page, 1}
			}
		}
	}
	d.punch(r.first*PageSize, r.count*PageSize)
	return 0, nil
}

// deflate serves a request: numbers of pages that the guest takes back. There is
// nothing to do, since it can use a hole like any page.
func deflate(c *virtio.Chain) (written uint32, err error) { return 0, checkNumbers(c) }

func checkNumbers(c *virtio.Chain) error {
	if len(c.Writable) > 0 {
		return fmt.Errorf("%w: page numbers for the balloon come in a buffer to write", virtio.ErrDriver)
	}
	return nil
}

// punch gives back a range of bytes. Where that fails (it is no memory; the host
// cannot) the pages stay, and nothing else is wrong: a guest may expect nothing
// of pages that it has given away.
func (d *Device) punch(gpa, size uint64) {
	if size == 0 {
		return
	}
	if err := d.memory.Punch(gpa, size); err != nil {
		d.log.Warn("memory that the guest gave back is still in use", "error", err)
	}
}
