package balloon_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/balloon"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	pageSize = 4096
	memSize  = 1 << 20

	inflate = 0
	deflate = 1

	featurePoison    = 1 << 4
	featureReporting = 1 << 5
)

// punches is a memory that notes what was punched.
type punches struct {
	mu  sync.Mutex // guards got
	got []virtiotest.Span
}

func (p *punches) Punch(gpa, size uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, virtiotest.Span{GPA: gpa, Size: size})
	if gpa+size > memSize {
		return errors.New("not memory")
	}
	return nil
}

// want checks what was punched since it was last asked: first page and count, in pairs.
func (p *punches) want(t *testing.T, pages ...uint64) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	var want []virtiotest.Span
	for i := 0; i < len(pages); i += 2 {
		want = append(want, virtiotest.Span{GPA: pages[i] * pageSize, Size: pages[i+1] * pageSize})
	}
	if diff := cmp.Diff(want, p.got); diff != "" {
		t.Errorf("punched (-want +got):\n%s", diff)
	}
	p.got = nil
}

// numbers is a buffer of page numbers.
func numbers(pages ...uint32) []byte {
	var p []byte
	for _, n := range pages {
		p = binary.LittleEndian.AppendUint32(p, n)
	}
	return p
}

func device(t testing.TB, m balloon.Memory, saved *balloon.State) *balloon.Device {
	t.Helper()
	d, err := balloon.New(balloon.Config{Memory: m}, saved)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func run(t testing.TB, o virtiotest.Options) (*virtiotest.Driver, *balloon.Device, *punches) {
	t.Helper()
	var p punches
	dev := device(t, &p, nil)
	return virtiotest.Run(t, dev, virtiotest.NewMemory(t, memSize), o), dev, &p
}

func TestInflate(t *testing.T) {
	tests := []struct {
		name string
		bufs [][]byte
		want []uint64
	}{
		{"one", [][]byte{numbers(7)}, []uint64{7, 1}},
		{"ascending", [][]byte{numbers(7, 8, 9)}, []uint64{7, 3}},
		{"descending", [][]byte{numbers(9, 8, 7)}, []uint64{7, 3}},
		{"both ways", [][]byte{numbers(8, 9, 7, 10)}, []uint64{7, 4}},
		{"scattered", [][]byte{numbers(1, 3, 4, 20)}, []uint64{1, 1, 3, 2, 20, 1}},
		{"twice", [][]byte{numbers(5, 5)}, []uint64{5, 1, 5, 1}},
		{"page 0", [][]byte{numbers(0, 1)}, []uint64{0, 2}},
		{"over two buffers", [][]byte{numbers(3), numbers(4, 5)}, []uint64{3, 3}},
		{"with a rest", [][]byte{append(numbers(3), 1, 2, 3)}, []uint64{3, 1}},
		{"the last number", [][]byte{numbers(1<<32-1, 0)}, []uint64{1<<32 - 1, 1, 0, 1}},
		{"too short", [][]byte{{1, 2, 3}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, _, p := run(t, virtiotest.Options{})
			if got := d.Queue(inflate).Do(tt.bufs); len(got) != 0 {
				t.Errorf("the page numbers were written: %q", got)
			}
			p.want(t, tt.want...)
			d.Queue(deflate).Do(tt.bufs)
			p.want(t)
		})
	}
}

// Of more numbers than any driver sends the first are looked at.
func TestInflateBounded(t *testing.T) {
	d, _, p := run(t, virtiotest.Options{})
	many := make([]uint32, 5000)
	for i := range many {
		many[i] = uint32(i)
	}
	d.Queue(inflate).Do([][]byte{numbers(many...), numbers(9000)})
	p.want(t, 0, 4096)
}

// Reports come on the specification's queue, and on the one that Linux uses.
func TestReport(t *testing.T) {
	for _, queue := range []int{2, 4} {
		t.Run(fmt.Sprint("queue ", queue), func(t *testing.T) {
			absent := []int{3, 6 - queue}
			d, _, p := run(t, virtiotest.Options{Absent: absent})
			q := d.Queue(queue)
			report := func(spans ...virtiotest.Span) {
				t.Helper()
				if got := q.Wait(send(q, spans...)); len(got) != 0 {
					t.Errorf("reported pages were written")
				}
			}
			report(virtiotest.Span{GPA: 16 * pageSize, Size: 4 * pageSize}, virtiotest.Span{GPA: 32 * pageSize, Size: pageSize})
			p.want(t, 16, 4, 32, 1)
			report(virtiotest.Span{GPA: 16*pageSize + 1, Size: 4*pageSize - 2}) // whole pages only
			p.want(t, 17, 2)
			report(virtiotest.Span{GPA: 16*pageSize + 1, Size: 100})
			report(virtiotest.Span{GPA: 16*pageSize + 1, Size: pageSize})
			p.want(t)
		})
	}
}

func send(q *virtiotest.Queue, spans ...virtiotest.Span) *virtiotest.Request {
	r := q.AddSpans(nil, spans)
	q.Kick()
	return r
}

// Pages that the guest expects a pattern in must not become zeros.
func TestPoison(t *testing.T) {
	tests := []struct {
		name   string
		refuse uint64
		poison []byte
		want   []uint64
	}{
		{"pattern", 0, []byte{0xaa, 0xaa, 0xaa, 0xaa}, nil},
		{"zeros", 0, []byte{0, 0, 0, 0}, []uint64{20, 1}},
		{"one byte of a pattern", 0, []byte{0, 1}, nil},
		{"feature not accepted", featurePoison, []byte{0xaa, 0xaa, 0xaa, 0xaa}, []uint64{20, 1}},
		{"no reporting at all", featureReporting, nil, nil},
	}
	page := virtiotest.Span{GPA: 20 * pageSize, Size: pageSize}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, dev, p := run(t, virtiotest.Options{Refuse: tt.refuse})
			dev.WriteConfig(12, tt.poison)
			r := send(d.Queue(2), page)
			d.Queue(inflate).Do([][]byte{numbers(40)}) // patterns are about reports only
			if tt.refuse != featureReporting {
				d.Queue(2).Wait(r)
			}
			if tt.want == nil {
				p.want(t, 40, 1)
				return
			}
			p.mu.Lock() // the queues are served in any order
			n := len(p.got)
			p.mu.Unlock()
			if n != 2 {
				t.Errorf("punched %d times; want the reported page and the inflated one", n)
			}
		})
	}
}

func TestTargetAndMove(t *testing.T) {
	d, dev, p := run(t, virtiotest.Options{})
	dev.SetTarget(100)
	d.WaitConfigChanges(1)
	dev.SetTarget(100)
	dev.WriteConfig(0, numbers(5555)) // not the driver's to write
	dev.WriteConfig(4, numbers(60))
	dev.WriteConfig(8, numbers(5555))
	dev.WriteConfig(12, numbers(0xaa))
	dev.WriteConfig(16, numbers(1))
	dev.WriteConfig(1<<63, numbers(1))
	if diff := cmp.Diff(append(numbers(100, 60, 0, 0xaa), 0, 0), d.Config(0, 18)); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	if n := d.ConfigChanges(); n != 1 {
		t.Errorf("changes told: got %d; want 1", n)
	}
	d.Quiesce()
	waiting := d.Queue(inflate).Send([][]byte{numbers(3, 4)})
	p.want(t)
	d.Move(func() virtio.Device {
		state := dev.Save()
		if diff := cmp.Diff(balloon.State{Target: 100, Actual: 60, Poison: 0xaa}, state); diff != "" {
			t.Errorf("state (-want +got):\n%s", diff)
		}
		dev = device(t, p, &state)
		return dev
	})
	d.Queue(inflate).Wait(waiting)
	p.want(t, 3, 2)
	if dev.Target() != 100 || dev.Actual() != 60 {
		t.Errorf("after the move: got %d of %d pages; want 60 of 100", dev.Actual(), dev.Target())
	}
	// After a reset the guest has given nothing, and the wish remains.
	d.Stop()
	if diff := cmp.Diff(balloon.State{Target: 100}, dev.Save()); diff != "" {
		t.Errorf("after a reset (-want +got):\n%s", diff)
	}
	dev.SetTarget(7)
}

func TestHostile(t *testing.T) {
	tests := []struct {
		name  string
		queue int
		out   [][]byte
		in    []int
	}{
		{"numbers in a buffer to write", inflate, [][]byte{numbers(1)}, []int{4}},
		{"deflated into a buffer to write", deflate, nil, []int{4}},
		{"a report to read", 2, [][]byte{make([]byte, 2*pageSize)}, []int{4}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, _, p := run(t, virtiotest.Options{})
			d.Queue(tt.queue).Send(tt.out, tt.in...)
			if err := d.WaitFailure(); !errors.Is(err, virtio.ErrDriver) {
				t.Errorf("failure: got %v; want ErrDriver", err)
			}
			p.want(t)
			d.Stop()
			d.Start()
			d.Queue(inflate).Do([][]byte{numbers(1)})
			p.want(t, 1, 1)
		})
	}
	t.Run("pages that are no memory", func(t *testing.T) {
		var p punches
		var log bytes.Buffer
		dev, err := balloon.New(balloon.Config{Memory: &p, Log: slog.New(slog.NewTextHandler(&log, nil))}, nil)
		if err != nil {
			t.Fatal(err)
		}
		d := virtiotest.Run(t, dev, virtiotest.NewMemory(t, memSize), virtiotest.Options{})
		d.Queue(inflate).Do([][]byte{numbers(1<<31, 2, 1<<31)})
		p.want(t, 1<<31, 1, 2, 1, 1<<31, 1)
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "not memory") {
			t.Errorf("got the log %q; want one line for two failures", got)
		}
	})
}
