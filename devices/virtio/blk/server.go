package blk

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// server serves one queue for one driver.
type server struct {
	dev    *Device
	driver virtio.Driver
	queue  *virtio.Queue
	engine Engine
	worker *virtio.Worker

	// What follows is the worker's.
	requests []request
	free     []*request
	bounces  *bounces
	done     []*Op // scratch
	empty    bool  // there was nothing to take
	broken   bool  // the queue or the engine is of no more use
	lost     bool  // the engine is, and the kernel may keep what it had for ever

	inflight atomic.Int32 // requests that the engine has

	mu      sync.Mutex // guards the next three; never held while working or waiting
	changed *sync.Cond
	parking bool // take nothing more
	parked  bool // parking, and nothing is in flight
	ending  bool // parking for good
}

func newServer(d *Device, driver virtio.Driver, q *virtio.Queue) (*server, error) {
	depth := int(q.Size())
	s := &server{dev: d, driver: driver, queue: q, requests: make([]request, depth), done: make([]*Op, depth)}
	s.changed = sync.NewCond(&s.mu)
	for i := range s.requests {
		s.requests[i].op.index = i
		s.free = append(s.free, &s.requests[i])
	}
	var err error
	if s.bounces, err = newBounces(); err != nil {
		return nil, err
	}
	if s.engine, err = d.config.Engine(d.config.File, depth, q.Kick()); err != nil {
		return nil, errors.Join(err, s.bounces.close())
	}
	s.worker = virtio.NewLooker(s.engine, s.step, s.ask)
	return s, nil
}

// durable tells whether what is written must be durable when it is given back,
// section 5.2.6.2.
func (s *server) durable() bool {
	return !s.driver.Has(FeatureFlush) || s.driver.Has(FeatureConfigWCE) && !s.dev.writeback.Load()
}

// step takes what the queue has, gives back what has completed, and tells
// whether it should be called again at once.
func (s *server) step() (more bool) {
	s.mu.Lock()
	parking := s.parking
	s.mu.Unlock()
	progress, full := false, false
	s.empty = false
	if !parking && !s.broken {
		s.queue.NoKicks()
		progress, full = s.take()
	}
	if s.reap() {
		progress = true
	}
	s.queue.Publish()
	switch {
	case progress:
		return true
	case parking && s.inflight.Load() == 0:
		s.rest()
		return false
	case parking || full || s.broken:
		return false // until something completes
	}
	s.empty = true
	return false
}

// ask has the driver kick, and tells whether it has a request already.
func (s *server) ask() (more bool) { return s.empty && s.queue.WantKicks() }

// take begins the requests that wait, as many as there is room for, and not more
// than a queue of them: a driver may add requests faster than they are refused.
func (s *server) take() (progress, full bool) {
	for n := 0; n < len(s.requests) && len(s.free) > 0; n++ {
		r := s.free[len(s.free)-1]
		ok, err := s.queue.Pop(&r.chain)
		if err != nil {
			s.fail(err)
			return progress, false
		}
		if !ok {
			return progress, false
		}
		more, status, err := s.begin(r)
		switch {
		case errors.Is(err, errBounce):
			s.queue.Undo(1)
			return progress, true
		case err != nil:
			s.queue.Undo(1)
			s.fail(err)
			return progress, false
		case more:
			s.free = s.free[:len(s.free)-1]
			s.inflight.Add(1)
			s.engine.Submit(&r.op)
		default:
			s.finish(r, status)
		}
		progress = true
	}
	return progress, len(s.free) == 0
}

// reap gives back the requests whose last operation has completed.
func (s *server) reap() (progress bool) {
	if s.lost {
		return false
	}
	n, err := s.engine.Reap(s.done)
	if err != nil {
		s.fail(err)
		s.lost = true
		defer s.inflight.Store(0) // a stop that waits for them would wait for ever
	}
	for _, op := range s.done[:n] {
		r := &s.requests[op.index]
		if more, status := s.next(r); more {
			s.engine.Submit(&r.op)
			continue
		} else {
			s.finish(r, status)
		}
		if r.bounce != nil {
			s.bounces.give(r.bounce)
			r.bounce = nil
		}
		s.free = append(s.free, r)
		s.inflight.Add(-1)
	}
	return n > 0
}

// finish gives a request back. All that can be written counts as written: the
// status is behind the data, and of a read that failed half-way nobody knows
// what has landed.
func (s *server) finish(r *request, status byte) {
	last := r.chain.Writable[len(r.chain.Writable)-1].Bytes
	last[len(last)-1] = status
	s.dev.counters.count(r.kind, r.length, status)
	s.queue.Push(&r.chain, uint32(virtio.Len(r.chain.Writable)))
}

// fail ends the use of the queue: the driver must reset the device.
func (s *server) fail(err error) {
	if !s.broken {
		s.broken = true
		s.driver.Transport.Fail(err)
	}
}

// rest says that nothing is in flight, if nothing is to be taken.
func (s *server) rest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parked = s.parking
	s.changed.Broadcast()
}

// park has the worker take nothing more from the queue.
func (s *server) park() {
	s.mu.Lock()
	s.parking = true
	s.mu.Unlock()
	s.worker.Resume() // to notice
}

// drain parks, and returns when nothing is in flight and the worker is at rest.
// The error is ctx's cause: the worker then still waits for what is in flight.
func (s *server) drain(ctx context.Context) error {
	s.park()
	if err := s.await(ctx); err != nil {
		return err
	}
	return s.worker.Quiesce(ctx)
}

// await returns when nothing is in flight.
func (s *server) await(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() {
		s.mu.Lock() // so that no waiter is between its check and its wait
		defer s.mu.Unlock()
		s.changed.Broadcast()
	})()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.parked {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.changed.Wait()
	}
	return nil
}

// resume lets the worker take requests.
func (s *server) resume() {
	s.mu.Lock()
	if !s.ending {
		s.parking, s.parked = false, false
	}
	s.mu.Unlock()
	s.worker.Resume()
}

// end drains for as long as that takes. There is no resume after it.
func (s *server) end() {
	s.mu.Lock()
	s.ending = true
	s.mu.Unlock()
	_ = s.drain(context.Background())
	s.close()
}

// close ends the worker. Precondition: it is drained, or never worked.
func (s *server) close() {
	s.worker.Stop()
	err := s.engine.Close()
	if !s.lost { // else the kernel may still write into them
		err = errors.Join(err, s.bounces.close())
	}
	if err != nil {
		s.dev.config.Log.Warn("disk: release a queue", "disk", s.dev.config.Name, "err", err)
	}
}
