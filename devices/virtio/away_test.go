package virtio_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
	"github.com/ferryvmm/ferry/guestmem"
)

// away is memory of which a range is on another host, while nobody is to wait for it.
type away struct {
	*virtiotest.Memory
	gone guestmem.Range
}

func (a *away) View(gpa, size uint64) ([]byte, error) {
	if gpa < a.gone.End() && gpa+size > a.gone.GPA {
		return nil, guestmem.ErrInterrupted
	}
	return a.Memory.View(gpa, size)
}

// A queue that is interrupted takes nothing and breaks nothing, wherever the memory is that it misses.
func TestMemoryThatIsAway(t *testing.T) {
	const table, buffer = 0xa0000, 0xb0000
	for name, gone := range map[string]guestmem.Range{
		"all":         {GPA: 0, Size: memorySize},
		"descriptors": {GPA: descAt, Size: 1},
		"available":   {GPA: availAt, Size: 1},
		"used":        {GPA: usedAt, Size: 1},
		"indirect":    {GPA: table, Size: 1},
		"buffer":      {GPA: buffer, Size: 1},
	} {
		for _, features := range []uint64{withIndirect, withIndirect | withEvents} {
			r := newRing(t, 4, features, 0xffff)
			r.put(descAt, 0, desc{gpa: table, length: 16, flags: indirect})
			r.put(table, 0, desc{gpa: buffer, length: 64, flags: write})
			r.add(0)
			mem := &away{r.mem, gone}
			r.renew(mem, features, 0xffff, 0xffff)
			before := r.State()
			var c virtio.Chain
			for range 2 {
				r.NoKicks()
				if ok, err := r.Pop(&c); ok || err != nil {
					t.Errorf("%s: Pop: got %v, %v; want nothing yet", name, ok, err)
				}
				r.Publish()
				if r.WantKicks() {
					t.Errorf("%s: WantKicks says that there is more to do", name)
				}
			}
			if diff := cmp.Diff(before, r.State()); diff != "" {
				t.Errorf("%s: the state of a queue that took nothing (-want +got):\n%s", name, diff)
			}
			mem.gone = guestmem.Range{}
			r.Push(r.pop(), 64)
			r.Publish()
			if r.usedIndex() != 0 || r.interrupts != 1 || r.WantKicks() {
				t.Errorf("%s: after all: used index %d, %d interrupts", name, r.usedIndex(), r.interrupts)
			}
		}
	}
}
