package virtio_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

// newKick is one that is closed when the test ends.
func newKick(t testing.TB) *virtio.Kick {
	t.Helper()
	k, err := virtio.NewKick()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return k
}

func TestWorker(t *testing.T) {
	k := newKick(t)
	var steps atomic.Int64
	stepped, gate := make(chan struct{}), make(chan struct{})
	w := virtio.NewWorker(k, func() bool {
		n := steps.Add(1)
		if n > 2 {
			stepped <- struct{}{}
			<-gate
		}
		return n < 3
	})
	rests := func(what string) {
		t.Helper()
		before := steps.Load()
		k.Wake()
		if err := w.Quiesce(t.Context()); err != nil {
			t.Errorf("%s: Quiesce: %v", what, err)
		}
		if got := steps.Load(); got != before {
			t.Errorf("%s: got %d steps; want none", what, got-before)
		}
	}
	rests("made")
	w.Resume()
	<-stepped // the third, for there was more
	impatient := errors.New("no time")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(impatient)
	if err := w.Quiesce(ctx); !errors.Is(err, impatient) {
		t.Errorf("Quiesce of a busy worker: got %v; want %v", err, impatient)
	}
	gate <- struct{}{}
	rests("quiesced")
	w.Resume()
	<-stepped
	gate <- struct{}{}
	k.Wake()
	<-stepped
	close(gate)
	go func() {
		for range stepped { // those that Wake has left
		}
	}()
	w.Stop()
	close(stepped)
	w.Stop()
	w.Resume()
	rests("stopped")
}

func TestKick(t *testing.T) {
	k := newKick(t)
	k.Wake()
	k.Wake()
	k.Wait() // for both
	woken := make(chan struct{})
	go func() {
		k.Wait()
		close(woken)
	}()
	k.Wake()
	<-woken
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	k.Wake()
	k.Wait() // does not hang
}

// TestNoWakeUpIsLost has a driver that sleeps whenever it may, while its device
// is put to rest and wakes up again all the time. A lost kick or interrupt would
// be a wait that nothing ends.
func TestNoWakeUpIsLost(t *testing.T) {
	for _, o := range []virtiotest.Options{
		{},
		{Refuse: virtio.FeatureEventIdx},
		{Size: 2, Indirect: true},
	} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			echo := virtiotest.NewEcho(256, 256)
			d := virtiotest.Run(t, echo, virtiotest.NewMemory(t, 1<<20), o)
			stop, stopped := atomic.Bool{}, make(chan struct{})
			go func() {
				defer close(stopped)
				for !stop.Load() {
					if err := echo.Quiesce(t.Context()); err != nil {
						t.Errorf("Quiesce: %v", err)
					}
					echo.Resume()
				}
			}()
			random := rand.New(rand.NewPCG(3, 4))
			for i := range 1000 {
				q := d.Queue(i % 2)
				if n := random.IntN(3); n == 0 || q.Free() < 4 {
					q.Do([][]byte{{1}}, 1)
				} else {
					a, b := q.Add([][]byte{{2}}, 1), q.Send([][]byte{{3}}, 1)
					q.Wait(b)
					q.Wait(a)
				}
			}
			stop.Store(true)
			<-stopped
		})
	}
}

// TestMoveInTraffic moves the device with requests anywhere on its queue. Each is
// answered once: the driver fails the test for one that comes twice.
func TestMoveInTraffic(t *testing.T) {
	for _, o := range []virtiotest.Options{{}, {Refuse: virtio.FeatureEventIdx}} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			d := virtiotest.Run(t, virtiotest.NewEcho(128), virtiotest.NewMemory(t, 1<<20), o)
			q := d.Queue(0)
			for move := range 30 {
				var sent []*virtiotest.Request
				for i := range 60 {
					sent = append(sent, q.Send([][]byte{{byte(move), byte(i)}}, 2))
				}
				d.Move(func() virtio.Device { return virtiotest.NewEcho(128) })
				for i, r := range sent {
					if got := q.Wait(r); len(got) != 2 || got[0] != byte(move) || got[1] != byte(i) {
						t.Fatalf("move %d, request %d: got %v", move, i, got)
					}
				}
			}
		})
	}
}

// bare is a driver that allocates nothing: one request, again and again.
type bare struct {
	*ring
	kick    *virtio.Kick
	rung    chan struct{}
	works   *virtio.Worker
	barrier atomic.Uint32
}

func newBare(t testing.TB) *bare {
	b := &bare{ring: newRing(t, 8, withEvents, 0), kick: newKick(t), rung: make(chan struct{}, 1)}
	b.simple()
	s := b.State()
	q, err := virtio.NewQueue(b.mem, s, withEvents, b.kick, func() { b.rung <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	b.works = virtio.Serve(q, nil, func(*virtio.Chain) (uint32, error) { return 1, nil })
	b.works.Resume()
	t.Cleanup(b.works.Stop)
	return b
}

// trip is a request there and back.
func (b *bare) trip() {
	b.usedEvent(b.added)
	b.add(0)
	b.kick.Wake()
	<-b.rung
}

func TestWorkerAllocatesNothing(t *testing.T) {
	b := newBare(t)
	if n := testing.AllocsPerRun(1000, b.trip); n != 0 {
		t.Errorf("got %v allocations a request; want 0", n)
	}
}

// polled is a request there and back, by a driver that kicks when it must and
// does not sleep.
func (b *bare) polled() (kicked int) {
	b.usedEvent(b.added - 2) // no interrupts
	b.add(0)
	if b.barrier.Add(1); b.availEvent() == b.added-1 {
		b.kick.Wake()
		kicked = 1
	}
	for b.usedIndex() != b.added {
		select {
		case <-b.rung: // the first comes in any case
		default:
		}
	}
	return kicked
}

// BenchmarkRoundTrip is from the kick to the interrupt, both ends in Go.
func BenchmarkRoundTrip(b *testing.B) {
	b.Run("sleeping", func(b *testing.B) {
		r := newBare(b)
		b.ReportAllocs()
		for b.Loop() {
			r.trip()
		}
	})
	b.Run("polling", func(b *testing.B) {
		r := newBare(b)
		kicks := 0
		for b.Loop() {
			kicks += r.polled()
		}
		b.ReportMetric(float64(kicks)/float64(b.N), "kicks/op")
	})
}
