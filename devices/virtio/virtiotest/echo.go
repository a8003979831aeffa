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
	sizes   []uint16
	workers virtio.Workers

	mu        sync.Mutex // guards the next two
	transport virtio.Transport
	config    [8]byte
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
	if e.transport != nil && binary.LittleEndian.Uint32(e.config[:]) != before {
		e.transport.ConfigChanged()
	}
}

// Start implements virtio.Device.
func (e *Echo) Start(d virtio.Driver) error {
	e.use(d.Transport)
	for _, q := range d.Queues {
		if q != nil {
			e.workers.Start(virtio.Serve(q, d.Transport, Answer))
		}
	}
	return nil
}

// Stop implements virtio.Device.
func (e *Echo) Stop() {
	e.workers.Stop()
	e.use(nil)
}

func (e *Echo) use(t virtio.Transport) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.transport = t
}

// Quiesce implements virtio.Device.
func (e *Echo) Quiesce(ctx context.Context) error { return e.workers.Quiesce(ctx) }

// Resume implements virtio.Device.
func (e *Echo) Resume() { e.workers.Resume() }

// Close implements virtio.Device.
func (*Echo) Close() error { return nil }

// Answer copies what can be read to what can be written: it serves a request of [Echo].
func Answer(c *virtio.Chain) (written uint32, err error) {
	in := c.Writable
	at := 0 // in the first of in
	for _, b := range c.Readable {
		for p := b.Bytes; len(p) > 0 && len(in) > 0; {
			n := copy(in[0].Bytes[at:], p)
			p, at, written = p[n:], at+n, written+uint32(n)
			if at == len(in[0].Bytes) {
				in, at = in[1:], 0
			}
		}
	}
	return written, nil
}
