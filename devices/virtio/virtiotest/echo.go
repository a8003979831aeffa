package virtiotest

import (
	"context"
	"encoding/binary"
	"sync"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// EchoFeature is a feature of [Echo] that means nothing.
const EchoFeature uint64 = 1 << 3

// Echo is the simplest device: it answers each request with what it reads, as
// far as there is room. It has nothing to save.
type Echo struct {
	sizes []uint16

	mu      sync.Mutex // guards what follows
	working bool
	driver  virtio.Driver
	servers []*echoQueue
	config  [8]byte
}

var _ virtio.Device = (*Echo)(nil)

// NewEcho is an echo device with queues of some sizes.
func NewEcho(sizes ...uint16) *Echo { return &Echo{sizes: sizes} }

// ID implements virtio.Device.
func (*Echo) ID() uint32 { return 63 }

// Features implements virtio.Device.
func (*Echo) Features() uint64 { return EchoFeature }

// QueueSizes implements virtio.Device.
func (e *Echo) QueueSizes() []uint16 { return e.sizes }

// ReadConfig implements virtio.Device: eight bytes that can be written.
func (e *Echo) ReadConfig(offset uint64, p []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(p)
	if offset < uint64(len(e.config)) {
		copy(p, e.config[offset:])
	}
}

// WriteConfig implements virtio.Device. A change to the first word is told to the driver.
func (e *Echo) WriteConfig(offset uint64, p []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if offset >= uint64(len(e.config)) {
		return
	}
	before := binary.LittleEndian.Uint32(e.config[:])
	copy(e.config[offset:], p)
	if e.driver.Transport != nil && binary.LittleEndian.Uint32(e.config[:]) != before {
		e.driver.Transport.ConfigChanged()
	}
}

// Start implements virtio.Device.
func (e *Echo) Start(d virtio.Driver) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.driver = d
	for _, q := range d.Queues {
		if q == nil {
			continue
		}
		s := &echoQueue{queue: q, fail: d.Transport.Fail}
		s.worker = virtio.NewWorker(q.Kick(), s.step)
		if e.working {
			s.worker.Resume()
		}
		e.servers = append(e.servers, s)
	}
	return nil
}

// Stop implements virtio.Device.
func (e *Echo) Stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.servers {
		s.worker.Stop()
	}
	e.servers, e.driver = nil, virtio.Driver{}
}

// Quiesce implements virtio.Device.
func (e *Echo) Quiesce(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.working = false
	for _, s := range e.servers {
		if err := s.worker.Quiesce(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Resume implements virtio.Device.
func (e *Echo) Resume() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.working = true
	for _, s := range e.servers {
		s.worker.Resume()
	}
}

// Close implements virtio.Device.
func (e *Echo) Close() error { return nil }

// echoQueue serves one queue.
type echoQueue struct {
	queue  *virtio.Queue
	worker *virtio.Worker
	fail   func(error)
	broken bool
	chain  virtio.Chain
}

// batch is how many requests are answered before the driver is told.
const batch = 16

func (s *echoQueue) step() (more bool) {
	if s.broken {
		return false
	}
	s.queue.NoKicks()
	defer s.queue.Publish()
	for range batch {
		ok, err := s.queue.Pop(&s.chain)
		if err != nil {
			s.broken = true
			s.fail(err)
			return false
		}
		if !ok {
			return s.queue.WantKicks()
		}
		s.queue.Push(&s.chain, s.answer())
	}
	return true
}

// answer copies what can be read to what can be written.
func (s *echoQueue) answer() (written uint32) {
	in := s.chain.Writable
	at := 0 // in the first of in
	for _, b := range s.chain.Readable {
		for p := b.Bytes; len(p) > 0 && len(in) > 0; {
			n := copy(in[0].Bytes[at:], p)
			p, at, written = p[n:], at+n, written+uint32(n)
			if at == len(in[0].Bytes) {
				in, at = in[1:], 0
			}
		}
	}
	return written
}
