package balloon

import (
	"encoding/binary"
	"testing"

	"github.com/ferryvmm/ferry/devices/virtio"
)

type anything struct{}

func (anything) Punch(uint64, uint64) error { return nil }

func TestAllocatesNothing(t *testing.T) {
	d, err := New(Config{Memory: anything{}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	pages := virtio.Chain{Readable: []virtio.Buffer{{Bytes: make([]byte, 1024)}}}
	free := virtio.Chain{Writable: []virtio.Buffer{{Bytes: make([]byte, 1<<20)}}}
	p := make([]byte, 16)
	n := testing.AllocsPerRun(100, func() {
		if _, err := d.inflate(&pages); err != nil {
			t.Error(err)
		}
		if _, err := d.report(&free); err != nil {
			t.Error(err)
		}
		d.WriteConfig(0, p)
		d.ReadConfig(0, p)
	})
	if n != 0 {
		t.Errorf("got %v allocations; want 0", n)
	}
}

// FuzzInflate checks that any list of numbers punches each of its pages, and no other.
func FuzzInflate(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 9})
	f.Fuzz(func(t *testing.T, list []byte) {
		list = list[:min(len(list), maxEntries*entrySize)]
		want := make(map[uint64]bool)
		for p := list; len(p) >= entrySize; p = p[entrySize:] {
			want[uint64(binary.LittleEndian.Uint32(p))] = true
		}
		got := collector{}
		d := &Device{memory: got}
		if _, err := d.inflate(&virtio.Chain{Readable: []virtio.Buffer{{Bytes: list}}}); err != nil {
			t.Fatal(err)
		}
		for page := range want {
			if !got[page] {
				t.Errorf("page %d was not punched", page)
			}
		}
		for page := range got {
			if !want[page] {
				t.Errorf("page %d was punched and not given", page)
			}
		}
	})
}

// collector notes the pages that were punched.
type collector map[uint64]bool

func (c collector) Punch(gpa, size uint64) error {
	for ; size > 0; gpa, size = gpa+PageSize, size-PageSize {
		c[gpa/PageSize] = true
	}
	return nil
}
