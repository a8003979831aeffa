package virtio_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

// piece is a buffer, but for its bytes.
type piece struct{ GPA, Size uint64 }

func pieces(buffers []virtio.Buffer) (all []piece) {
	for _, b := range buffers {
		all = append(all, piece{b.GPA, uint64(len(b.Bytes))})
	}
	return all
}

const table = 0x50000 // of indirect descriptors

func TestChains(t *testing.T) {
	tests := []struct {
		name     string
		features uint64
		desc     []desc
		table    []desc
		in, out  []piece // as the driver sees it
	}{
		{"one", withNothing, []desc{{0x2000, 5, 0, 0}}, nil, nil, []piece{{0x2000, 5}}},
		{"both, out of order", withNothing,
			[]desc{{0x2000, 5, next, 3}, {0x5000, 7, write, 9}, {}, {0x3000, 6, next | write, 1}}, nil,
			[]piece{{0x3000, 6}, {0x5000, 7}}, []piece{{0x2000, 5}}},
		{"empty buffers", withNothing,
			[]desc{{0x2000, 0, next, 1}, {1 << 60, 0, next | write, 2}, {0x3000, 6, write, 0}}, nil,
			[]piece{{0x3000, 6}}, nil},
		{"overlapping", withNothing,
			[]desc{{0x2000, 64, next, 1}, {0x2020, 64, next | write, 2}, {0x2000, 64, write, 0}}, nil,
			[]piece{{0x2020, 64}, {0x2000, 64}}, []piece{{0x2000, 64}}},
		{"indirect", withIndirect,
			[]desc{{table, 48, indirect, 0}},
			[]desc{{0x2000, 1, next, 2}, {0x4000, 3, write, 0}, {0x3000, 2, next | write, 1}},
			[]piece{{0x3000, 2}, {0x4000, 3}}, []piece{{0x2000, 1}}},
		{"direct, then indirect", withIndirect,
			[]desc{{0x2000, 1, next, 1}, {table, 16, indirect, 0}},
			[]desc{{0x4000, 3, write, 0}},
			[]piece{{0x4000, 3}}, []piece{{0x2000, 1}}},
		{"as long as the queue", withIndirect,
			[]desc{{table, 64, indirect, 0}},
			[]desc{{0x2000, 1, next, 1}, {0x2000, 1, next, 2}, {0x2000, 1, next, 3}, {0x2000, 1, 0, 0}},
			nil, []piece{{0x2000, 1}, {0x2000, 1}, {0x2000, 1}, {0x2000, 1}}},
		{"the last byte", withNothing, []desc{{memorySize - 1, 1, 0, 0}}, nil, nil, []piece{{memorySize - 1, 1}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRing(t, 4, tt.features, 0)
			r.put(descAt, 0, tt.desc...)
			r.put(table, 0, tt.table...)
			r.add(0)
			c := r.pop()
			if diff := cmp.Diff(tt.out, pieces(c.Readable)); diff != "" {
				t.Errorf("readable (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.in, pieces(c.Writable)); diff != "" {
				t.Errorf("writable (-want +got):\n%s", diff)
			}
			for _, b := range append(c.Readable, c.Writable...) {
				if &b.Bytes[0] != &r.mem.Bytes(b.GPA, 1)[0] {
					t.Errorf("buffer at %#x is a copy; want memory itself", b.GPA)
				}
			}
		})
	}
}

func TestBadChains(t *testing.T) {
	tests := []struct {
		name     string
		features uint64
		head     uint16
		desc     []desc
		table    []desc
	}{
		{"head out of bounds", withIndirect, 4, nil, nil},
		{"next out of bounds", withIndirect, 0, []desc{{0x2000, 1, next, 4}}, nil},
		{"itself again", withIndirect, 0, []desc{{0x2000, 1, next, 0}}, nil},
		{"a loop", withIndirect, 2, []desc{{0x2000, 1, next, 1}, {0x2000, 1, next, 0}, {0x2000, 1, next, 0}}, nil},
		{"a loop of empty buffers", withIndirect, 0, []desc{{0, 0, next, 1}, {0, 0, next, 0}}, nil},
		{"read behind write", withIndirect, 0, []desc{{0x2000, 1, next | write, 1}, {0x2000, 1, 0, 0}}, nil},
		{"outside memory", withIndirect, 0, []desc{{memorySize, 1, 0, 0}}, nil},
		{"reaches out of memory", withIndirect, 0, []desc{{memorySize - 1, 2, 0, 0}}, nil},
		{"wraps", withIndirect, 0, []desc{{1<<64 - 1, 2, 0, 0}}, nil},
		{"huge", withIndirect, 0, []desc{{0, 1<<32 - 1, 0, 0}}, nil},
		{"indirect, not accepted", withNothing, 0, []desc{{table, 16, indirect, 0}}, []desc{{0x2000, 1, 0, 0}}},
		{"indirect with next", withIndirect, 0, []desc{{table, 16, indirect | next, 0}}, []desc{{0x2000, 1, 0, 0}}},
		{"indirect, empty", withIndirect, 0, []desc{{table, 0, indirect, 0}}, nil},
		{"indirect, not whole", withIndirect, 0, []desc{{table, 24, indirect, 0}}, []desc{{0x2000, 1, 0, 0}}},
		{"indirect, longer than the queue", withIndirect, 0, []desc{{table, 80, indirect, 0}}, []desc{{0x2000, 1, 0, 0}}},
		{"indirect, huge", withIndirect, 0, []desc{{table, 1<<32 - 16, indirect, 0}}, nil},
		{"indirect, outside", withIndirect, 0, []desc{{memorySize - 16, 32, indirect, 0}}, nil},
		{"indirect in indirect", withIndirect, 0, []desc{{table, 16, indirect, 0}}, []desc{{table, 16, indirect, 0}}},
		{"indirect, next out of it", withIndirect, 0, []desc{{table, 32, indirect, 0}}, []desc{{0x2000, 1, next, 2}}},
		{"indirect, a loop", withIndirect, 0, []desc{{table, 32, indirect, 0}}, []desc{{0x2000, 1, next, 1}, {0x2000, 1, next, 0}}},
		{"too long in all", withIndirect, 0,
			[]desc{{0x2000, 1, next, 1}, {table, 64, indirect, 0}},
			[]desc{{0x2000, 1, next, 1}, {0x2000, 1, next, 2}, {0x2000, 1, next, 3}, {0x2000, 1, 0, 0}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRing(t, 4, tt.features, 0)
			r.put(descAt, 0, tt.desc...)
			r.put(table, 0, tt.table...)
			r.add(tt.head)
			var c virtio.Chain
			if ok, err := r.Pop(&c); ok || !errors.Is(err, virtio.ErrDriver) {
				t.Errorf("Pop: got %v, %v; want ErrDriver", ok, err)
			}
			if got := r.State().Next; got != 0 {
				t.Errorf("requests taken: got %d; want 0", got)
			}
		})
	}
}

// TestChainOfManyBytes has every descriptor name the same half of memory.
func TestChainOfManyBytes(t *testing.T) {
	const size, half = 1 << 14, memorySize / 2
	for n, want := range map[uint16]error{1 << 13: nil, 1<<13 + 1: virtio.ErrDriver} {
		r := newRing(t, size, withNothing, 0)
		for i := range n - 1 {
			r.put(descAt, i, desc{0, half, next, i + 1})
		}
		r.put(descAt, n-1, desc{0, half, 0, 0})
		r.add(0)
		var c virtio.Chain
		if _, err := r.Pop(&c); !errors.Is(err, want) {
			t.Errorf("%d times %d bytes: got %v; want %v", n, half, err, want)
		}
		if got := virtio.Len(c.Readable); want == nil && got != 1<<32 {
			t.Errorf("Len: got %d; want %d", got, uint64(1)<<32)
		}
	}
}

func TestQueuesThatCannotBe(t *testing.T) {
	good := virtio.QueueState{Size: 8, Desc: descAt, Avail: availAt, Use: usedAt}
	tests := map[string]func(*virtio.QueueState){
		"no descriptors":        func(s *virtio.QueueState) { s.Size = 0 },
		"not a power of two":    func(s *virtio.QueueState) { s.Size = 6 },
		"descriptors unaligned": func(s *virtio.QueueState) { s.Desc += 8 },
		"available unaligned":   func(s *virtio.QueueState) { s.Avail++ },
		"used unaligned":        func(s *virtio.QueueState) { s.Use += 2 },
		"descriptors reach out": func(s *virtio.QueueState) { s.Desc = memorySize - 16 },
		"available reaches out": func(s *virtio.QueueState) { s.Avail = memorySize - 20 },
		"used reaches out":      func(s *virtio.QueueState) { s.Use = memorySize - 68 },
		"used wraps":            func(s *virtio.QueueState) { s.Use = 1<<64 - 4 },
		"too many for memory":   func(s *virtio.QueueState) { s.Size, s.Desc = virtio.MaxQueueSize, memorySize/2+16 },
	}
	mem := virtiotest.NewMemory(t, memorySize)
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			s := good
			spoil(&s)
			if _, err := virtio.NewQueue(mem, s, withNothing, nil, nil); !errors.Is(err, virtio.ErrDriver) {
				t.Errorf("NewQueue: got %v; want ErrDriver", err)
			}
		})
	}
	if err := good.Check(4); !errors.Is(err, virtio.ErrDriver) {
		t.Errorf("Check of 8 descriptors where 4 are the most: got %v; want ErrDriver", err)
	}
	if _, err := virtio.NewQueue(mem, good, withNothing, nil, nil); err != nil {
		t.Errorf("NewQueue of a good one: %v", err)
	}
}
