package balloon_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
	"github.com/ferryvmm/ferry/guestmem"
)

// What a guest frees costs no memory, and a move that is under way sends it as a hole.
func TestGivenBackIsNeverSent(t *testing.T) {
	const (
		low  = 1 << 20 // queues and buffers are below
		size = 16 << 20
	)
	m, err := guestmem.New(guestmem.Layout{{GPA: 0, Size: size}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	dev := device(t, m, nil)
	d := virtiotest.Run(t, dev, virtiotest.Wrap(t, m, 0, size), virtiotest.Options{})
	if err := m.WriteAt(bytes.Repeat([]byte{0x11}, size-low), low); err != nil {
		t.Fatal(err)
	}
	before, err := m.DataBytes()
	if err != nil {
		t.Fatal(err)
	}
	tracker, err := m.Track()
	if err != nil {
		t.Fatal(err)
	}
	defer tracker.Close()
	sent(t, tracker)

	d.Queue(4).Wait(send(d.Queue(4), virtiotest.Span{GPA: 4 << 20, Size: 4 << 20}))
	d.Queue(inflate).Do([][]byte{numbers(8<<20/pageSize, 8<<20/pageSize+1)})

	const given = 4<<20 + 2*pageSize
	after, err := m.DataBytes()
	if err != nil || before-after != given {
		t.Errorf("memory given back: got %d, %v; want %d", before-after, err, given)
	}
	want := []guestmem.Run{{GPA: 4 << 20, Kind: guestmem.Hole, Size: 4<<20 + 2*pageSize}}
	if diff := cmp.Diff(want, sent(t, tracker)); diff != "" {
		t.Errorf("sent of what was given back (-want +got):\n%s", diff)
	}
	got := make([]byte, pageSize)
	if err := m.ReadAt(got, 4<<20); err != nil || !bytes.Equal(got, make([]byte, pageSize)) {
		t.Errorf("a page that was given back: got %x, %v; want zeros", got[:8], err)
	}
	d.Close()
}

// sent is a round of a move: what it sends above the driver's own pages, neighbours joined.
func sent(t *testing.T, tracker *guestmem.Tracker) []guestmem.Run {
	t.Helper()
	if _, err := tracker.Harvest(); err != nil {
		t.Fatal(err)
	}
	var all []guestmem.Run
	runs := make([]guestmem.Run, 64)
	for {
		n, err := tracker.Next(runs)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return all
		}
		for _, r := range runs[:n] {
			last := len(all) - 1
			switch {
			case r.GPA < 1<<20:
			case last >= 0 && all[last].Kind == r.Kind && all[last].GPA+all[last].Size == r.GPA:
				all[last].Size += r.Size
			default:
				r.Bytes = nil
				all = append(all, r)
			}
		}
	}
}
