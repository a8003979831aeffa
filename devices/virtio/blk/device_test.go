package blk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/blk"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

func TestConfigSpace(t *testing.T) {
	c, _ := config(t, mib)
	c.Queues = 3
	d := newDisk(t, c, virtiotest.Options{})
	le := binary.LittleEndian
	got := map[string]uint64{
		"capacity":             le.Uint64(d.Config(0, 8)),
		"size_max":             uint64(le.Uint32(d.Config(8, 4))),
		"seg_max":              uint64(le.Uint32(d.Config(12, 4))),
		"blk_size":             uint64(le.Uint32(d.Config(20, 4))),
		"physical_block_exp":   uint64(d.Config(24, 1)[0]),
		"alignment_offset":     uint64(d.Config(25, 1)[0]),
		"min_io_size":          uint64(le.Uint16(d.Config(26, 2))),
		"opt_io_size":          uint64(le.Uint32(d.Config(28, 4))),
		"writeback":            uint64(d.Config(32, 1)[0]),
		"num_queues":           uint64(le.Uint16(d.Config(34, 2))),
		"max_discard_sectors":  uint64(le.Uint32(d.Config(36, 4))),
		"max_discard_seg":      uint64(le.Uint32(d.Config(40, 4))),
		"discard_alignment":    uint64(le.Uint32(d.Config(44, 4))),
		"max_zeroes_sectors":   uint64(le.Uint32(d.Config(48, 4))),
		"max_zeroes_seg":       uint64(le.Uint32(d.Config(52, 4))),
		"zeroes_may_unmap":     uint64(d.Config(56, 1)[0]),
		"behind the structure": le.Uint64(d.Config(60, 8)),
	}
	want := map[string]uint64{
		"capacity": mib / 512, "size_max": 0, "seg_max": 254, "blk_size": 512, "physical_block_exp": 3, "alignment_offset": 0,
		"min_io_size": 8, "opt_io_size": 0, "writeback": 1, "num_queues": 3, "max_discard_sectors": 1 << 18, "max_discard_seg": 8,
		"discard_alignment": 1, "max_zeroes_sectors": 1 << 15, "max_zeroes_seg": 1, "zeroes_may_unmap": 1, "behind the structure": 0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("configuration space (-want +got):\n%s", diff)
	}
	const all = blk.FeatureSegMax | blk.FeatureBlockSize | blk.FeatureFlush | blk.FeatureTopology | blk.FeatureConfigWCE |
		blk.FeatureMultiQueue | blk.FeatureDiscard | blk.FeatureWriteZeroes
	if got := d.dev.Features(); got != all {
		t.Errorf("features: got %#x; want %#x", got, all)
	}
	if diff := cmp.Diff([]uint16{256, 256, 256}, d.dev.QueueSizes()); diff != "" {
		t.Errorf("queues (-want +got):\n%s", diff)
	}
	ro, _ := config(t, mib)
	ro.ReadOnly = true
	if got, want := newDisk(t, ro, virtiotest.Options{}).dev.Features(), all&^(blk.FeatureMultiQueue|blk.FeatureDiscard|blk.FeatureWriteZeroes)|blk.FeatureReadOnly; got != want {
		t.Errorf("features of a read-only disk: got %#x; want %#x", got, want)
	}
}

func TestRefusedConfig(t *testing.T) {
	for name, change := range map[string]func(*blk.Config){
		"no size":           func(c *blk.Config) { c.Size = 0 },
		"odd size":          func(c *blk.Config) { c.Size = 1000 },
		"half a block":      func(c *blk.Config) { c.BlockSize, c.Size = 4096, 4096+512 },
		"no block size":     func(c *blk.Config) { c.BlockSize = 0 },
		"odd block size":    func(c *blk.Config) { c.BlockSize, c.Size = 1536, 1536 },
		"small block size":  func(c *blk.Config) { c.BlockSize = 256 },
		"odd alignment":     func(c *blk.Config) { c.Alignment = 3 },
		"large alignment":   func(c *blk.Config) { c.Alignment = 8192 },
		"no queue":          func(c *blk.Config) { c.Queues = 0 },
		"too many queues":   func(c *blk.Config) { c.Queues = blk.MaxQueues + 1 },
		"more than a range": func(c *blk.Config) { c.Size = 1 << 63 },
	} {
		c := blk.Config{Name: "root", Size: mib, BlockSize: 512, Queues: 1}
		change(&c)
		if _, err := blk.New(c, nil); !errors.Is(err, blk.ErrConfig) {
			t.Errorf("%s: got %v; want ErrConfig", name, err)
		}
	}
}

// TestWritebackChoice has the driver choose, and the choice move with it.
func TestWritebackChoice(t *testing.T) {
	for _, refuse := range []uint64{0, blk.FeatureConfigWCE, blk.FeatureFlush} {
		t.Run(fmt.Sprintf("without %#x", refuse), func(t *testing.T) {
			c, _ := config(t, mib)
			var durable []bool
			var seen []blk.Kind
			c.Engine = script(&seen, func(op *blk.Op) unix.Errno {
				durable = append(durable, op.Kind == blk.Write && op.Durable)
				return 0
			})
			d := newDisk(t, c, virtiotest.Options{Refuse: refuse})
			d.write(0, make([]byte, 512))
			d.dev.WriteConfig(30, []byte{1, 1, 0, 1}) // and what is around it, which cannot be written
			d.write(0, make([]byte, 512))
			c.File = openFile(t, c.File.Name(), os.O_RDWR)
			d.move(c)
			d.write(0, make([]byte, 512))
			if got := d.Config(32, 1)[0]; got != 0 {
				t.Errorf("writeback after a move: got %d; want 0", got)
			}
			if got := d.do(tWriteZeroes, 0, ranges(0, 8, 0)); got != ok {
				t.Errorf("zeroes: got status %d; want ok", got)
			}
			d.Stop()
			if got := d.Config(32, 1)[0]; got != 1 {
				t.Errorf("writeback after a reset: got %d; want 1", got)
			}
			want, ops := []bool{false, true, true, false, false}, []blk.Kind{blk.Write, blk.Write, blk.Write, blk.Zero, blk.Sync}
			switch refuse {
			case blk.FeatureConfigWCE: // it has no choice
				want, ops = []bool{false, false, false, false}, ops[:4]
			case blk.FeatureFlush:
				want[0] = true
			}
			if diff := cmp.Diff(want, durable); diff != "" {
				t.Errorf("durable (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(ops, seen); diff != "" {
				t.Errorf("operations (-want +got):\n%s", diff)
			}
		})
	}
}

// TestMoveInTheMiddle moves a disk again and again with requests of all sorts on
// their way: each is done once.
func TestMoveInTheMiddle(t *testing.T) {
	onEngines(t, func(t *testing.T, open blk.Opener) {
		c, content := config(t, 4*mib)
		c.Engine, c.Queues = open, 2
		d := newDisk(t, c, virtiotest.Options{Indirect: true})
		const slots = 4 * mib / 4096
		sent := make(map[*virtiotest.Request]int)
		for n := 0; n < 2000 || len(sent) > 0; {
			q := d.Queue(n % 2)
			for n < 2000 && q.Free() > 200 {
				slot := n % slots // a slot's second record comes long after its first
				data := bytes.Repeat([]byte{byte(n), byte(n >> 8)}, 2048)
				copy(content[slot*4096:], data)
				sent[q.Add([][]byte{header(tOut, uint64(slot*8)), data}, 1)] = n
				n++
			}
			d.Queue(0).Kick()
			d.Queue(1).Kick()
			if n%5 < 2 {
				c.File = openFile(t, c.File.Name(), os.O_RDWR)
				d.move(c)
			}
			for i := range 2 {
				for r := d.Queue(i).Poll(); r != nil; r = d.Queue(i).Poll() {
					if got := d.status(r.Written); got != ok {
						t.Fatalf("write %d: got status %d; want ok", sent[r], got)
					}
					delete(sent, r)
				}
			}
		}
		if err := d.dev.Sync(); err != nil {
			t.Error(err)
		}
		file, err := os.ReadFile(c.File.Name())
		if err != nil {
			t.Fatal(err)
		}
		want(t, "image", content, file)
	})
}

// TestDirect has direct I/O with buffers that are aligned and that are not.
func TestDirect(t *testing.T) {
	onEngines(t, func(t *testing.T, open blk.Opener) {
		c, content := config(t, 4*mib)
		c.Engine = open
		c.File = openFile(t, c.File.Name(), os.O_RDWR|unix.O_DIRECT)
		c.BlockSize, c.Alignment = 4096, 4096 // more than most hosts demand, and good for all
		d := newDisk(t, c, virtiotest.Options{Indirect: true})
		base := d.mem.Alloc(2 * mib)
		span := func(offset, size uint64) virtiotest.Span { return virtiotest.Span{GPA: base + offset, Size: size} }
		var all []*virtiotest.Request
		place := func(data []byte, spans []virtiotest.Span) {
			for _, s := range spans {
				data = data[copy(d.mem.Bytes(s.GPA, s.Size), data):]
			}
		}
		transfer := func(name string, kind uint32, sector, size uint64, spans []virtiotest.Span) {
			t.Helper()
			out, in := []virtiotest.Span{span(0, 16)}, []virtiotest.Span{span(16, 1)}
			copy(d.mem.Bytes(base, 16), header(kind, sector))
			part := content[sector*512:][:size]
			if kind == tOut {
				for i := range part {
					part[i] = byte(i>>9) ^ byte(sector) ^ 0x5a
				}
				place(part, spans)
				out = append(out, spans...)
			} else {
				in = append(spans, in...)
			}
			r := d.q.AddSpans(out, in)
			d.q.Kick()
			d.q.Wait(r)
			all = append(all, r)
			if got := d.mem.Bytes(base+16, 1)[0]; got != ok {
				t.Fatalf("%s, type %d: got status %d; want ok", name, kind, got)
			}
			if kind == tIn {
				want(t, name, part, r.Written[:len(r.Written)-1])
			}
		}
		for name, spans := range map[string][]virtiotest.Span{
			"aligned":              {span(4096, 8192)},
			"aligned pieces":       {span(4096, 4096), span(16384, 4096)},
			"at an odd address":    {span(4096+1, 8192)},
			"in odd pieces":        {span(4096, 1), span(8192, 4095), span(16384, 4096)},
			"larger than a buffer": {span(4096+512, 1*mib)},
			"larger, in pieces":    {span(4096+512, 300<<10), span(mib, 100<<10)},
		} {
			var size uint64
			for _, s := range spans {
				size += s.Size
			}
			transfer(name, tIn, 8, size, spans)
			transfer(name, tOut, 800, size, spans)
			transfer(name, tIn, 800, size, spans)
		}
		file, err := os.ReadFile(c.File.Name())
		if err != nil {
			t.Fatal(err)
		}
		want(t, "image", content, file)

		// More at once than there are bounce buffers.
		var reqs []*virtiotest.Request
		for i := range uint64(32) {
			s := span(65536+i*8192+8, 4096)
			reqs = append(reqs, d.q.Add([][]byte{header(tIn, i*8)}, 1, 4095, 1), d.q.AddSpans([]virtiotest.Span{span(0, 16)}, []virtiotest.Span{s, span(16, 1)}))
		}
		d.q.Kick()
		for i, r := range reqs {
			got := d.q.Wait(r)
			if d.status(got) != ok {
				t.Errorf("request %d of many: got status %d; want ok", i, d.status(got))
			}
		}
	})
}

// TestNoQueue has a driver that uses only the second queue.
func TestNoQueue(t *testing.T) {
	c, content := config(t, mib)
	c.Queues = 2
	d, err := blk.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	driver := virtiotest.Run(t, d, virtiotest.NewMemory(t, mib), virtiotest.Options{Absent: []int{0}, Refuse: virtio.FeatureIndirect})
	got := driver.Queue(1).Do([][]byte{header(tIn, 0)}, 512, 1)
	want(t, "read on the second queue", append(content[:512:512], ok), got)
}
