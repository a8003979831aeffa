package virtio_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

// servers is a device of two queues that are served alike.
type servers struct {
	virtio.Workers
	*virtiotest.Echo // for its being a device
	serve            func(*virtio.Chain) (uint32, error)
}

func newServers(serve func(*virtio.Chain) (uint32, error)) *servers {
	return &servers{Echo: virtiotest.NewEcho(256, 256), serve: serve}
}

func (s *servers) Start(d virtio.Driver) error {
	for _, q := range d.Queues {
		s.Workers.Start(virtio.Serve(q, d.Transport, s.serve))
	}
	return nil
}

func (s *servers) Stop()                             { s.Workers.Stop() }
func (s *servers) Quiesce(ctx context.Context) error { return s.Workers.Quiesce(ctx) }
func (s *servers) Resume()                           { s.Workers.Resume() }

// mark writes one byte.
func mark(c *virtio.Chain) (uint32, error) {
	c.Writable[0].Bytes[0] = 0x77
	return 1, nil
}

// More requests than a batch are all served, with fewer interrupts than requests,
// whether the driver adds them to a device at rest or to one that works.
func TestServe(t *testing.T) {
	for _, o := range []virtiotest.Options{{}, {Refuse: virtio.FeatureEventIdx}} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			d := virtiotest.NewDriver(t, newServers(mark), virtiotest.NewMemory(t, 1<<20), o)
			d.Start()
			q := d.Queue(0)
			var all []*virtiotest.Request
			for range 200 {
				all = append(all, q.Send(nil, 1))
			}
			if r := q.Poll(); r != nil {
				t.Error("a device at rest used a request")
			}
			d.Resume()
			for _, r := range all {
				if got := q.Wait(r); len(got) != 1 || got[0] != 0x77 {
					t.Errorf("got %#x; want 0x77", got)
				}
			}
			if n := q.Interrupts(); n > len(all)/2 {
				t.Errorf("got %d interrupts for %d requests; want them batched", n, len(all))
			}
			for i := range 100 {
				d.Queue(i%2).Do(nil, 1)
			}
			d.Quiesce()
			d.Resume()
			d.Quiesce()
			d.Stop()
			d.Start()
			r := q.Send(nil, 1)
			d.Resume()
			q.Wait(r)
		})
	}
}

// A request that is refused stops its queue, and those before it are told of.
func TestServeRefused(t *testing.T) {
	refusal := errors.New("refused")
	n := 0
	d := virtiotest.NewDriver(t, newServers(func(c *virtio.Chain) (uint32, error) {
		if n++; n == 3 {
			return 0, refusal
		}
		return mark(c)
	}), virtiotest.NewMemory(t, 1<<20), virtiotest.Options{})
	d.Start()
	q := d.Queue(0)
	var all []*virtiotest.Request
	for range 5 {
		all = append(all, q.Send(nil, 1))
	}
	d.Resume()
	if err := d.WaitFailure(); !errors.Is(err, refusal) {
		t.Errorf("failure: got %v; want %v", err, refusal)
	}
	q.Send(nil, 1)
	d.Quiesce()
	for q.Poll() != nil {
	}
	for i, r := range all {
		if r.Done != (i < 2) {
			t.Errorf("request %d: got it used %v; want those before the refused one", i, r.Done)
		}
	}
	if n != 3 {
		t.Errorf("served %d; want 3", n)
	}
}

func TestServeAllocatesNothing(t *testing.T) {
	const requests = 250
	served := make(chan struct{})
	n := 0
	d := virtiotest.NewDriver(t, newServers(func(c *virtio.Chain) (uint32, error) {
		if n++; n == requests {
			close(served)
		}
		return 1, nil
	}), virtiotest.NewMemory(t, 1<<20), virtiotest.Options{Unchecked: true})
	d.Start()
	for range requests {
		d.Queue(0).Send(nil, 1)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d.Resume()
	<-served
	runtime.ReadMemStats(&after)
	if got := after.Mallocs - before.Mallocs; got > requests/5 {
		t.Errorf("got %d allocations for %d requests; want a few at the start", got, requests)
	}
}
