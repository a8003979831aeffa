package blk_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/blk"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

func TestReadAndWrite(t *testing.T) {
	onEngines(t, func(t *testing.T, open blk.Opener) {
		for _, o := range []virtiotest.Options{{}, {Indirect: true}, {Refuse: virtio.FeatureEventIdx, Size: 8}} {
			c, content := config(t, mib)
			c.Engine = open
			d := newDisk(t, c, o)
			want(t, "one sector", content[512:1024], d.read(1, 512))
			want(t, "split buffers", content[:8192], d.read(0, 1, 511, 4096, 3584))
			want(t, "the end", content[mib-4096:], d.read((mib-4096)/512, 4096))
			data := bytes.Repeat([]byte("ferry..."), 512)
			d.write(8, data)
			if got := d.do(tOut, 16, data[:100], data[100:1000], data[1000:]); got != ok {
				t.Errorf("split write: got status %d; want ok", got)
			}
			copy(content[8*512:], data)
			copy(content[16*512:], data)
			want(t, "after writes", content[:32<<10], d.read(0, 32<<10))
			if got := d.do(tFlush, 0); got != ok {
				t.Errorf("flush: got status %d; want ok", got)
			}
			file, err := os.ReadFile(c.File.Name())
			if err != nil {
				t.Fatal(err)
			}
			want(t, "image", content, file)
			if diff := cmp.Diff(blk.Counters{Reads: 4, Writes: 2, Flushes: 1, ReadBytes: 512 + 8192 + 4096 + 32<<10, WrittenBytes: 8192}, d.dev.Counters()); diff != "" {
				t.Errorf("counters (-want +got):\n%s", diff)
			}
		}
	})
}

// TestManyAtOnce has more on the queue than fits it, in any order.
func TestManyAtOnce(t *testing.T) {
	onEngines(t, func(t *testing.T, open blk.Opener) {
		c, content := config(t, 4*mib)
		c.Engine = open
		d := newDisk(t, c, virtiotest.Options{Indirect: true, Size: 32})
		at := make(map[*virtiotest.Request]int)
		for sent, done := 0, 0; done < 1000; {
			for sent < 1000 && d.q.Free() > 0 {
				sector := sent * 7919 % (4*mib/512 - 8)
				at[d.q.Add([][]byte{header(tIn, uint64(sector))}, 4096, 1)] = sector
				sent++
			}
			d.q.Kick()
			r := d.q.Next()
			if sector := at[r]; d.status(r.Written) != ok || !bytes.Equal(r.Written[:4096], content[sector*512:][:4096]) {
				t.Fatalf("request %d at sector %d: status %d, or other data; want that of the image", done, sector, d.status(r.Written))
			}
			delete(at, r)
			done++
		}
	})
}

func TestRefusedRequests(t *testing.T) {
	const sectors = mib / 512
	tests := []struct {
		name   string
		out    [][]byte
		in     []int
		ro     bool
		refuse uint64
		want   byte
	}{
		{"read beyond the end", [][]byte{header(tIn, sectors)}, []int{512, 1}, false, 0, ioError},
		{"read across the end", [][]byte{header(tIn, sectors-1)}, []int{1024, 1}, false, 0, ioError},
		{"read at a sector that overflows", [][]byte{header(tIn, 1<<55+1)}, []int{512, 1}, false, 0, ioError},
		{"read at the last sector number", [][]byte{header(tIn, 1<<64-1)}, []int{512, 1}, false, 0, ioError},
		{"read of no sector", [][]byte{header(tIn, 0)}, []int{1}, false, 0, ok},
		{"read of half a sector", [][]byte{header(tIn, 0)}, []int{256, 1}, false, 0, ioError},
		{"write across the end", [][]byte{header(tOut, sectors-1), make([]byte, 1024)}, []int{1}, false, 0, ioError},
		{"write of half a sector", [][]byte{header(tOut, 0), make([]byte, 256)}, []int{1}, false, 0, ioError},
		{"write of no sector", [][]byte{header(tOut, 0)}, []int{1}, false, 0, ok},
		{"write to a read-only disk", [][]byte{header(tOut, 0), make([]byte, 512)}, []int{1}, true, 0, ioError},
		{"short header", [][]byte{header(tIn, 0)[:15]}, []int{512, 1}, false, 0, ioError},
		{"no header", nil, []int{512, 1}, false, 0, ioError},
		{"header in pieces", [][]byte{header(tIn, 0)[:1], header(tIn, 0)[1:5], header(tIn, 0)[5:]}, []int{512, 1}, false, 0, ok},
		{"unknown type", [][]byte{header(2, 0)}, []int{512, 1}, false, 0, unsupported},
		{"secure erase", [][]byte{header(14, 0), ranges(0, 1, 0)}, []int{1}, false, 0, unsupported},
		{"discard beyond the end", [][]byte{header(tDiscard, 0), ranges(sectors-1, 2, 0)}, []int{1}, false, 0, ioError},
		{"discard that overflows", [][]byte{header(tDiscard, 0), ranges(1<<64-1, 2, 0)}, []int{1}, false, 0, ioError},
		{"discard with flags", [][]byte{header(tDiscard, 0), ranges(0, 1, 1)}, []int{1}, false, 0, unsupported},
		{"discard of part of a range", [][]byte{header(tDiscard, 0), ranges(0, 1, 0)[:15]}, []int{1}, false, 0, ioError},
		{"discard of nothing", [][]byte{header(tDiscard, 0)}, []int{1}, false, 0, ioError},
		{"discard of an empty range", [][]byte{header(tDiscard, 0), ranges(5, 0, 0)}, []int{1}, false, 0, ok},
		{"discard of too many ranges", [][]byte{header(tDiscard, 0), make([]byte, 9*16)}, []int{1}, false, 0, ioError},
		{"discard of too much", [][]byte{header(tDiscard, 0), ranges(0, 1<<32-1, 0)}, []int{1}, false, 0, ioError},
		{"discard on a read-only disk", [][]byte{header(tDiscard, 0), ranges(0, 1, 0)}, []int{1}, true, 0, ioError},
		{"discard that was not negotiated", [][]byte{header(tDiscard, 0), ranges(0, 1, 0)}, []int{1}, false, blk.FeatureDiscard, unsupported},
		{"zeroes with unknown flags", [][]byte{header(tWriteZeroes, 0), ranges(0, 1, 2)}, []int{1}, false, 0, unsupported},
		{"zeroes in two ranges", [][]byte{header(tWriteZeroes, 0), ranges(0, 1, 0, 1, 1, 0)}, []int{1}, false, 0, ioError},
		{"zeroes of too much", [][]byte{header(tWriteZeroes, 0), ranges(0, 32769, 0)}, []int{1}, false, 0, ioError},
		{"zeroes that were not negotiated", [][]byte{header(tWriteZeroes, 0), ranges(0, 1, 0)}, []int{1}, false, blk.FeatureWriteZeroes, unsupported},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, content := config(t, mib)
			c.ReadOnly = tt.ro
			d := newDisk(t, c, virtiotest.Options{Refuse: tt.refuse})
			if got := d.status(d.q.Do(tt.out, tt.in...)); got != tt.want {
				t.Errorf("status: got %d; want %d", got, tt.want)
			}
			want(t, "the disk goes on", content[:512], d.read(0, 512))
			errors := uint64(1)
			if tt.want == ok {
				errors = 0
			}
			if got := d.dev.Counters().Errors; got != errors {
				t.Errorf("errors counted: got %d; want %d", got, errors)
			}
			file, err := os.ReadFile(c.File.Name())
			if err != nil {
				t.Fatal(err)
			}
			want(t, "image", content, file)
		})
	}
}

// TestNoStatus wants a reset from a driver that leaves no room for a status.
func TestNoStatus(t *testing.T) {
	c, content := config(t, mib)
	d := newDisk(t, c, virtiotest.Options{})
	d.q.Add([][]byte{header(tOut, 0), make([]byte, 512)})
	d.q.Kick()
	if err := d.WaitFailure(); !errors.Is(err, virtio.ErrDriver) {
		t.Errorf("got %v; want ErrDriver", err)
	}
	d.Quiesce()
	if got := d.States()[0]; got.Next != 0 {
		t.Errorf("a disk at rest holds a request: got next %d; want 0", got.Next)
	}
	d.Stop()
	d.Start()
	d.Resume()
	want(t, "after a reset", content[:512], d.read(0, 512))
}

func TestGetID(t *testing.T) {
	c, _ := config(t, mib)
	c.Name = "a-name-of-over-20-letters"
	d := newDisk(t, c, virtiotest.Options{})
	if got, want := string(d.q.Do([][]byte{header(tGetID, 0)}, 20, 1)), "a-name-of-over-20-le\x00"; got != want {
		t.Errorf("serial: got %q; want %q", got, want)
	}
	if got, want := string(d.q.Do([][]byte{header(tGetID, 0)}, 5, 1)), "a-nam\x00"; got != want {
		t.Errorf("part of the serial: got %q; want %q", got, want)
	}
	got := d.q.Do([][]byte{header(tGetID, 0)}, 30, 1)
	if s := string(got[:20]); s != c.Name[:20] || got[30] != ok {
		t.Errorf("in a larger buffer: got %q, status %d; want %q", s, got[30], c.Name[:20])
	}
}

func TestDiscardAndZeroes(t *testing.T) {
	onEngines(t, func(t *testing.T, open blk.Opener) {
		c, content := config(t, 4*mib)
		c.Engine = open
		d := newDisk(t, c, virtiotest.Options{})
		for _, r := range []struct {
			kind          uint32
			sector, count uint64
			flags         uint64
		}{{tDiscard, 0, 64, 0}, {tWriteZeroes, 128, 64, 0}, {tWriteZeroes, 256, 1024, 1}, {tWriteZeroes, 2001, 3, 0}} {
			if got := d.do(r.kind, 0, ranges(r.sector, r.count, r.flags)); got != ok {
				t.Errorf("%+v: got status %d; want ok", r, got)
			}
			clear(content[r.sector*512:][:r.count*512])
		}
		if got := d.do(tDiscard, 0, ranges(4096, 8, 0, 5000, 0, 0, 4200, 16, 0)); got != ok {
			t.Errorf("two ranges: got status %d; want ok", got)
		}
		clear(content[4096*512:][:8*512])
		clear(content[4200*512:][:16*512])
		for at := 0; at < 4*mib; at += 256 << 10 {
			want(t, fmt.Sprintf("from byte %d", at), content[at:][:256<<10], d.read(uint64(at/512), 256<<10))
		}
		if st, err := c.File.Stat(); err != nil || st.Size() != 4*mib {
			t.Errorf("size of the image: got %d, %v; want %d", st.Size(), err, 4*mib)
		}
	})
}
