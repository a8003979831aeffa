package blk_test

import (
	"bytes"
	"sync"
	"testing"

	"github.com/ferryvmm/ferry/devices/virtio/blk"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

// TestReadsAreTold wants each piece of memory that was filled to be told of, with the place of its bytes in the image, and nothing else.
func TestReadsAreTold(t *testing.T) {
	type piece struct {
		gpa, size uint64
		offset    int64
	}
	for _, alignment := range []uint32{1, 4096} { // with 4096 by way of bounce buffers
		onEngines(t, func(t *testing.T, open blk.Opener) {
			c, content := config(t, mib)
			c.Engine, c.Alignment = open, alignment
			var mu sync.Mutex // guards told
			var told []piece
			c.Read = func(gpa, size uint64, offset int64) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, piece{gpa, size, offset})
			}
			d := newDisk(t, c, virtiotest.Options{})
			reads := func(want uint64, what func()) {
				t.Helper()
				what()
				mu.Lock()
				defer mu.Unlock()
				got := uint64(0)
				for _, p := range told {
					got += p.size
					if !bytes.Equal(d.mem.Bytes(p.gpa, p.size), content[p.offset:p.offset+int64(p.size)]) {
						t.Errorf("told of %+v: there is something else", p)
					}
				}
				if told = nil; got != want {
					t.Errorf("told of %d bytes; want %d", got, want)
				}
			}
			reads(512+8192+4096, func() { d.read(8, 512, 8192, 4096) })
			reads(200<<10, func() { d.read(0, 200<<10) })
			reads(0, func() { d.write(8, make([]byte, 512)) })
			reads(0, func() { d.do(tFlush, 0) })
			reads(0, func() { d.do(tIn, mib/512, nil) }) // behind the end
		})
	}
}
