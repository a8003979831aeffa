package blk_test

import (
	"bytes"
	"testing"

	"github.com/ferryvmm/ferry/devices/virtio/blk"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

// TestReadsAreTold wants each piece of memory that was filled to be told of, with the place of its bytes in the image, and nothing else.
func TestReadsAreTold(t *testing.T) {
	for _, alignment := range []uint32{1, 4096} { // with 4096 by way of bounce buffers
		onEngines(t, func(t *testing.T, open blk.Opener) {
			c, content := config(t, mib)
			c.Engine, c.Alignment = open, alignment
			var d *disk
			told := uint64(0)
			c.Read = func(gpa, size uint64, offset int64) {
				told += size
				if got := d.mem.Bytes(gpa, size); !bytes.Equal(got, content[offset:offset+int64(size)]) {
					t.Errorf("told of %d bytes at %#x, read from %d: there are others", size, gpa, offset)
				}
			}
			d = newDisk(t, c, virtiotest.Options{})
			d.read(8, 512, 8192, 4096)
			d.read(0, 200<<10)
			d.write(8, make([]byte, 512))
			d.do(tFlush, 0)
			d.do(tIn, mib/512, nil) // behind the end
			if want := uint64(512 + 8192 + 4096 + 200<<10); told != want {
				t.Errorf("told of %d bytes; want %d", told, want)
			}
		})
	}
}
