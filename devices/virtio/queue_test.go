package virtio_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

// TestWrapAround goes beyond the end of both indices and around rings of several sizes.
func TestWrapAround(t *testing.T) {
	for _, size := range []uint16{1, 2, 64} {
		r := newRing(t, size, withEvents, 0xfff0)
		r.simple()
		done := uint16(0xfff0)
		for range 0x200 {
			for i := range size {
				r.add(size - 1 - i)
			}
			if n, err := r.Available(); n != size || err != nil {
				t.Fatalf("Available at %#x: got %d, %v; want %d", r.added, n, err, size)
			}
			for i := range size {
				c := r.pop()
				if c.Head != size-1-i {
					t.Fatalf("head: got %d; want %d", c.Head, size-1-i)
				}
				r.Push(c, 0)
			}
			r.Publish()
			if done += size; r.usedIndex() != done {
				t.Fatalf("used index: got %#x; want %#x", r.usedIndex(), done)
			}
		}
		if s := r.State(); s.Next != r.added || s.Used != done {
			t.Errorf("state: got %#x and %#x; want %#x and %#x", s.Next, s.Used, r.added, done)
		}
	}
}

func TestIndexThatJumps(t *testing.T) {
	for _, ahead := range []uint16{5, 0x7fff, 0x8000, 0xffff} {
		r := newRing(t, 4, withNothing, 0xfffe)
		r.simple()
		put16(r.avail, 2, 0xfffe+ahead)
		var c virtio.Chain
		if ok, err := r.Pop(&c); ok || !errors.Is(err, virtio.ErrDriver) {
			t.Errorf("%d ahead: got %v, %v; want ErrDriver", ahead, ok, err)
		}
		if !r.WantKicks() {
			t.Errorf("%d ahead: WantKicks says that nothing is there", ahead)
		}
	}
}

// TestInterruptWithEvents compares with the definition: an interrupt is due when
// the event's entry is among those that are published, section 2.7.10.
func TestInterruptWithEvents(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	r := newRing(t, 8, withEvents, 0xfff0)
	r.simple()
	publish := func(n int) {
		for range n {
			r.add(0)
			r.Push(r.pop(), 0)
		}
		r.interrupts = 0
		r.Publish()
	}
	publish(1) // tells in any case
	for range 5000 {
		n := random.IntN(8) + 1
		before := r.usedIndex()
		event := before + uint16(random.IntN(20)) - 6
		if random.IntN(4) == 0 {
			event = uint16(random.Uint32())
		}
		want := 0
		for i := range n {
			if before+uint16(i) == event {
				want = 1
			}
		}
		r.usedEvent(event)
		if publish(n); r.interrupts != want {
			t.Fatalf("%d published from %#x with event %#x: got %d interrupts; want %d", n, before, event, r.interrupts, want)
		}
	}
}

// TestFirstPublishInterrupts: whether the driver was told of what came before a
// move is not known after it.
func TestFirstPublishInterrupts(t *testing.T) {
	r := newRing(t, 8, withEvents, 100)
	r.simple()
	r.usedEvent(50)
	for want := range 2 {
		r.add(0)
		r.Push(r.pop(), 0)
		r.interrupts = 0
		r.Publish()
		if r.interrupts != 1-want {
			t.Errorf("publish %d: got %d interrupts; want %d", want, r.interrupts, 1-want)
		}
	}
	r.Publish()
	if r.interrupts != 0 {
		t.Error("nothing was pushed, and there was an interrupt")
	}
}

func TestInterruptFlag(t *testing.T) {
	r := newRing(t, 8, withNothing, 0)
	r.simple()
	for i, flags := range []uint16{0, noInterrupt, 0xfffe, 0xffff} {
		r.interrupts = 0
		r.availFlags(flags)
		r.add(0)
		r.Push(r.pop(), 0)
		r.Publish()
		if want := 1 - i%2; r.interrupts != want {
			t.Errorf("flags %#x: got %d interrupts; want %d", flags, r.interrupts, want)
		}
	}
}

func TestKickFlag(t *testing.T) {
	r := newRing(t, 8, withNothing, 0)
	r.simple()
	r.NoKicks()
	if got := r.usedFlags(); got != noNotify {
		t.Errorf("NoKicks: got flags %#x; want %#x", got, noNotify)
	}
	r.add(0)
	r.Push(r.pop(), 0)
	r.Publish()
	if r.usedFlags() != noNotify || r.usedIndex() != 1 {
		t.Errorf("Publish: got flags %#x, index %d; want %#x, 1", r.usedFlags(), r.usedIndex(), noNotify)
	}
	// The next queue on this memory knows nothing of the wish that stands in it.
	s := r.State()
	r.renew(r.mem, withNothing, s.Next, s.Used)
	if r.WantKicks() {
		t.Error("WantKicks found what is not there")
	}
	if got := r.usedFlags(); got != 0 {
		t.Errorf("WantKicks: got flags %#x; want 0", got)
	}
	r.add(1)
	if !r.WantKicks() {
		t.Error("WantKicks overlooked a request")
	}
}

func TestKickEvent(t *testing.T) {
	r := newRing(t, 8, withEvents, 0xffff)
	r.simple()
	for range 3 {
		r.NoKicks()
		r.add(0)
		r.Push(r.pop(), 0)
		r.Publish()
		if r.WantKicks() {
			t.Error("WantKicks found what is not there")
		}
		if got := r.availEvent(); got != r.added {
			t.Errorf("event: got %#x; want %#x, the next request", got, r.added)
		}
		if got := r.usedFlags(); got != 0 {
			t.Errorf("flags: got %#x; want 0, for the event says it", got)
		}
	}
}

func TestUndo(t *testing.T) {
	r := newRing(t, 8, withNothing, 0xfffe)
	r.simple()
	r.add(3, 4, 5, 6)
	r.Push(r.pop(), 0)
	r.pop()
	r.pop()
	r.Undo(2)
	r.Publish()
	if s := r.State(); s.Next != 0xffff || s.Used != 0xffff {
		t.Errorf("state: got %#x, %#x; want 0xffff twice", s.Next, s.Used)
	}
	var got []uint16
	for n, _ := r.Available(); n > 0; n, _ = r.Available() {
		c := r.pop()
		got = append(got, c.Head)
		r.Push(c, 0)
	}
	if diff := cmp.Diff([]uint16{4, 5, 6}, got); diff != "" {
		t.Errorf("heads after Undo (-want +got):\n%s", diff)
	}
}

// TestPush looks at the used ring, and at what is told of before and after Publish.
func TestPush(t *testing.T) {
	r := newRing(t, 4, withNothing, 0)
	r.simple()
	r.add(2, 1)
	r.Push(r.pop(), 7)
	r.Push(r.pop(), 9)
	if r.usedIndex() != 0 || r.interrupts != 0 {
		t.Errorf("before Publish: got index %d, %d interrupts; want none", r.usedIndex(), r.interrupts)
	}
	r.Publish()
	if r.usedIndex() != 2 || r.interrupts != 1 {
		t.Errorf("after Publish: got index %d, %d interrupts; want 2, 1", r.usedIndex(), r.interrupts)
	}
	want := []byte{0, 0, 2, 0, 2, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0}
	if diff := cmp.Diff(want, r.used[:len(want)]); diff != "" {
		t.Errorf("used ring (-want +got):\n%s", diff)
	}
}

// marks notes what was marked dirty, and what the used index was by then.
type marks struct {
	*virtiotest.Memory
	r   *ring
	all []string
}

func (m *marks) MarkDirty(gpa, size uint64) {
	m.all = append(m.all, fmt.Sprintf("%#x+%d at %d", gpa, size, m.r.usedIndex()))
	m.Memory.MarkDirty(gpa, size)
}

// TestMarks: data and entries are marked before the index moves, the index after.
func TestMarks(t *testing.T) {
	r := newRing(t, 4, withEvents, 0)
	m := &marks{Memory: r.mem, r: r}
	r.renew(m, withEvents, 0, 0)
	r.put(descAt, 0, desc{0x2000, 8, next, 1}, desc{0x3000, 8, next | write, 2}, desc{0x4000, 8, write, 0}, desc{0x5000, 8, write, 0})
	r.add(0, 3)
	r.Push(r.pop(), 12)
	r.Push(r.pop(), 0)
	r.Publish()
	r.WantKicks()
	want := []string{
		"0x3000+8 at 0", "0x4000+4 at 0", "0x92008+8 at 0",
		"0x92010+8 at 0",
		"0x92004+4 at 2",
		"0x92028+2 at 2",
	}
	if diff := cmp.Diff(want, m.all); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
}

func TestQueueAllocatesNothing(t *testing.T) {
	for _, features := range []uint64{withNothing, withEvents | withIndirect} {
		r := newRing(t, 8, features, 0)
		r.put(descAt, 0, desc{0x2000, 8, next, 1}, desc{0x3000, 8, next | write, 2}, desc{0x4000, 8, write, 0})
		if features&virtio.FeatureIndirect != 0 {
			r.put(descAt, 3, desc{table, 32, indirect, 0})
			r.put(table, 0, desc{0x2000, 8, next, 1}, desc{0x3000, 8, write, 0})
		} else {
			r.put(descAt, 3, desc{0x3000, 8, write, 0})
		}
		var c virtio.Chain
		if n := testing.AllocsPerRun(1000, func() {
			r.add(0, 3)
			r.NoKicks()
			for {
				ok, err := r.Pop(&c)
				if err != nil {
					t.Fatal(err)
				}
				if !ok {
					break
				}
				r.Push(&c, 8)
			}
			r.Publish()
			r.WantKicks()
		}); n != 0 {
			t.Errorf("features %#x: got %v allocations; want 0", features, n)
		}
	}
}
