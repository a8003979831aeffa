package mmio_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/mmio"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

func wantEcho(t *testing.T, q *virtiotest.Queue, say string) {
	t.Helper()
	if got := string(q.Do([][]byte{[]byte(say)}, len(say))); got != say {
		t.Errorf("answer: got %q; want %q", got, say)
	}
}

func TestTraffic(t *testing.T) {
	b := newBoard(t, 8, 8)
	d := b.run(virtiotest.Options{})
	for i := range 10 {
		wantEcho(t, d.Queue(i%2), fmt.Sprint("hello ", i))
	}
	b.want("", interruptStatus, 1)
	b.set(queueNotify, 2)
	b.set(queueNotify, 0xffffffff)
	b.set(config, 7)
	b.want("changed", configGeneration, 1)
	b.want("changed", interruptStatus, 3)
	b.set(interruptACK, 1)
	b.want("acknowledged", interruptStatus, 2)
	b.kicks[0].Wake() // for nothing
	d.Stop()
	b.want("reset", interruptStatus, 0)
	d.Start()
	wantEcho(t, d.Queue(1), "after a reset")
	d.Queue(0).AddSpans(nil, []virtiotest.Span{{GPA: 1<<20 - 1, Size: 2}})
	d.Queue(0).Kick()
	until(t, func() bool { return b.get(status)&needsReset != 0 && b.get(interruptStatus)&2 != 0 })
	d.Stop()
	b.want("reset", status, 0)
}

// until polls what has no event to wait for: a register.
func until(t *testing.T, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); runtime.Gosched() {
		if time.Since(began) > 20*time.Second {
			t.Fatal("the register does not change")
		}
	}
}

func TestSaveRestore(t *testing.T) {
	b := newBoard(t, 8, 16)
	d := b.run(virtiotest.Options{Size: 8})
	wantEcho(t, d.Queue(0), "one")
	wantEcho(t, d.Queue(1), "two")
	b.set(queueSel, 1)
	b.set(config, 1)
	d.Quiesce()
	waiting := d.Queue(1).Send([][]byte{[]byte("three")}, 5) // its kick is lost
	saved := b.Save()
	want := mmio.State{
		Status: acknowledge | driver | featuresOK | driverOK, QueueSel: 1, DriverFeaturesSel: 1,
		Features: accepted, ISR: 3, Generation: 1, Queues: []virtio.QueueState{d.Queue(0).State(), d.Queue(1).State()},
	}
	want.Queues[0].Next, want.Queues[0].Used = 1, 1
	want.Queues[1].Next, want.Queues[1].Used = 1, 1
	if diff := cmp.Diff(want, saved); diff != "" {
		t.Errorf("Save (-want +got):\n%s", diff)
	}
	b.remake(&saved)
	if diff := cmp.Diff(saved, b.Save()); diff != "" {
		t.Errorf("save, restore, save (-want +got):\n%s", diff)
	}
	for range 2 {
		edges := b.edges.Load()
		if b.Restored(); b.edges.Load() != edges+1 {
			t.Errorf("Restored: got %d interrupts; want 1", b.edges.Load()-edges)
		}
	}
	d.Resume()
	if got := string(d.Queue(1).Wait(waiting)); got != "three" {
		t.Errorf("parked in the move: got %q; want %q", got, "three")
	}
	wantEcho(t, d.Queue(0), "four")
	d.Quiesce()
	b.set(interruptACK, 3)
	saved = b.Save()
	b.remake(&saved)
	edges := b.edges.Load()
	if b.Restored(); b.edges.Load() != edges {
		t.Error("Restored raised an interrupt that has no cause")
	}
}

func TestNeedsResetStays(t *testing.T) {
	b := newBoard(t, 8)
	d := b.run(virtiotest.Options{})
	d.Queue(0).AddSpans(nil, []virtiotest.Span{{GPA: 1 << 30, Size: 2}})
	d.Queue(0).Kick()
	until(t, func() bool { return b.get(status)&needsReset != 0 })
	d.Quiesce()
	saved := b.Save()
	b.remake(&saved)
	b.want("restored", status, acknowledge|driver|featuresOK|driverOK|needsReset)
	if diff := cmp.Diff(saved, b.Save()); diff != "" {
		t.Errorf("save, restore, save (-want +got):\n%s", diff)
	}
	d.Resume()
	d.Stop()
	d.Start()
	wantEcho(t, d.Queue(0), "after a reset")
}

func TestBadStates(t *testing.T) {
	b := newBoard(t, 8, 16)
	d := b.run(virtiotest.Options{Size: 8})
	d.Quiesce()
	good := b.Save()
	tests := map[string]func(*mmio.State){
		"unknown status":               func(s *mmio.State) { s.Status |= 16 },
		"wide status":                  func(s *mmio.State) { s.Status |= 1 << 31 },
		"running, features unsettled":  func(s *mmio.State) { s.Status &^= featuresOK },
		"feature not offered":          func(s *mmio.State) { s.Features |= 1 },
		"no version 1":                 func(s *mmio.State) { s.Features &^= virtio.FeatureVersion1 },
		"unknown interrupt":            func(s *mmio.State) { s.ISR = 4 },
		"no queues":                    func(s *mmio.State) { s.Queues = nil },
		"a queue too many":             func(s *mmio.State) { s.Queues = append(s.Queues, s.Queues[0]) },
		"a queue that is too large":    func(s *mmio.State) { s.Queues[0].Size = 16 },
		"a queue of an odd size":       func(s *mmio.State) { s.Queues[1].Size = 6 },
		"a queue without descriptors":  func(s *mmio.State) { s.Queues[1].Size = 0 },
		"a queue outside memory":       func(s *mmio.State) { s.Queues[1].Desc = 1 << 40 },
		"a queue that is not aligned":  func(s *mmio.State) { s.Queues[1].Use++ },
		"a queue at the address's end": func(s *mmio.State) { s.Queues[1].Avail = 1<<64 - 2 },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			bad := good
			bad.Queues = append([]virtio.QueueState(nil), good.Queues...)
			spoil(&bad)
			if _, err := b.try(&bad); !errors.Is(err, mmio.ErrState) {
				t.Errorf("New: got %v; want ErrState", err)
			}
		})
	}
	if _, err := mmio.New(mmio.Config{Device: b.make(), Memory: b.mem, Interrupt: b, Kicks: b.kicks[:1]}, nil); err == nil {
		t.Error("one kick for two queues: got no error")
	}
}

// TestRehearsal restores a state again and again: nothing may be left of it.
func TestRehearsal(t *testing.T) {
	b := newBoard(t, 8, 8, 8)
	d := b.run(virtiotest.Options{})
	wantEcho(t, d.Queue(0), "before")
	d.Quiesce()
	saved := b.Save()
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	for i := range 200 {
		c := mmio.Config{Device: b.make(), Memory: b.mem, Interrupt: b}
		if i%2 == 0 {
			c.Kicks = b.kicks
		}
		tr, err := mmio.New(c, &saved)
		if err != nil {
			t.Fatal(err)
		}
		if err := tr.Close(); err != nil {
			t.Fatal(err)
		}
	}
	until(t, func() bool { return runtime.NumGoroutine() <= goroutines })
	if got := openFiles(t); got != files {
		t.Errorf("open files: got %d; want %d as before", got, files)
	}
	d.Resume()
	wantEcho(t, d.Queue(0), "after")
}

// TestResetsLeaveNothing has a guest start and reset its device again and again.
func TestResetsLeaveNothing(t *testing.T) {
	b := newBoard(t, 8, 8)
	d := b.run(virtiotest.Options{})
	d.Stop()
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	for range 200 {
		d.Start()
		d.Queue(0).Send([][]byte{{1}}, 1)
		d.Stop()
	}
	until(t, func() bool { return runtime.NumGoroutine() <= goroutines })
	if got := openFiles(t); got != files {
		t.Errorf("open files: got %d; want %d as before", got, files)
	}
	d.Start()
	wantEcho(t, d.Queue(0), "after")
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// slow is a device that, while it stops, waits for a goroutine of its own which
// talks to the driver.
type slow struct {
	*virtiotest.Echo
	talk virtio.Transport
}

func (s *slow) Start(d virtio.Driver) error {
	s.talk = d.Transport
	return s.Echo.Start(d)
}

func (s *slow) Stop() {
	done := make(chan struct{})
	go func() {
		s.talk.ConfigChanged()
		s.talk.Fail(errors.New("late"))
		close(done)
	}()
	<-done
	s.Echo.Stop()
}

func TestDeviceTalksWhileItStops(t *testing.T) {
	b := newBoard(t, 8)
	device := &slow{Echo: virtiotest.NewEcho(8)}
	b.make = func() virtio.Device { return device }
	b.remake(nil)
	d := b.run(virtiotest.Options{})
	wantEcho(t, d.Queue(0), "before")
	d.Stop()
	b.want("reset", status, 0)
	b.want("reset", interruptStatus, 0)
	late := device.talk
	d.Start()
	generation := b.get(configGeneration)
	late.Fail(errors.New("of the driver before"))
	late.ConfigChanged()
	b.want("a new driver", status, acknowledge|driver|featuresOK|driverOK)
	b.want("a new driver", configGeneration, generation)
}

// hanging is a device that does not come to rest.
type hanging struct{ *virtiotest.Echo }

func (hanging) Quiesce(ctx context.Context) error {
	<-ctx.Done()
	return fmt.Errorf("a request: %w", ctx.Err())
}

func TestQuiesceEnds(t *testing.T) {
	b := newBoard(t)
	b.make = func() virtio.Device { return hanging{virtiotest.NewEcho()} }
	b.remake(nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Transport.Quiesce(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Quiesce: got %v; want that it was cancelled", err)
	}
}

func TestAllocatesNothing(t *testing.T) {
	b := newBoard(t, 8)
	b.run(virtiotest.Options{})
	p, q := make([]byte, 4), make([]byte, 8)
	if n := testing.AllocsPerRun(100, func() {
		for reg := uint64(0); reg < config; reg += 4 {
			b.Read(reg, p)
		}
		b.Read(config, q)
		b.Write(config+4, p)
		clear(p)
		b.Write(queueSel, p)
		b.Write(queueNotify, p)
		b.Write(interruptACK, p)
	}); n != 0 {
		t.Errorf("got %v allocations; want 0", n)
	}
}

// BenchmarkRestore is what a rehearsal does with a device of two queues.
func BenchmarkRestore(b *testing.B) {
	r := newBoard(b, 256, 256)
	d := r.run(virtiotest.Options{})
	d.Quiesce()
	saved := r.Save()
	for _, own := range []bool{false, true} {
		b.Run(fmt.Sprintf("own kicks %v", own), func(b *testing.B) {
			b.ReportAllocs()
			c := mmio.Config{Memory: r.mem, Interrupt: r, Kicks: r.kicks}
			if own {
				c.Kicks = nil
			}
			for b.Loop() {
				c.Device = r.make()
				tr, err := mmio.New(c, &saved)
				if err != nil {
					b.Fatal(err)
				}
				if err := tr.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
