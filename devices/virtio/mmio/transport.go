// Package mmio is the transport of virtio devices as registers in the address
// space, without a bus.
//
// Source: VIRTIO 1.2, section 4.2.2, the register layout of version 2.
package mmio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ferryvmm/ferry/devices"
	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/internal/calmlog"
)

// Size of a transport's registers, in bytes.
const Size = 0x1000

// NotifyOffset is the register whose 32-bit write of a queue's index kicks the
// queue: what an ioeventfd watches.
const NotifyOffset = 0x050

// logEvery is how often at most a line is logged: a guest can cause any number.
const logEvery = 10 * time.Second

// Interrupt is how the device interrupts the guest.
type Interrupt interface {
	// Raise is an edge on the device's line. It may be called from any goroutine
	// and does not block.
	Raise() error
}

// Config is what a transport connects.
type Config struct {
	Device    virtio.Device // at rest, without a driver
	Memory    virtio.Memory
	Interrupt Interrupt
	// Kicks are one for each queue, and stay the caller's: transports may use
	// them one after the other, so that an ioeventfd needs to be registered
	// once. Nil: the transport makes its own.
	Kicks []*virtio.Kick
	Log   *slog.Logger // nil: nothing is logged
}

// Transport is the registers of one device.
type Transport struct {
	dev       virtio.Device
	mem       virtio.Memory
	interrupt Interrupt
	kicks     []*virtio.Kick
	ownKicks  bool
	log       calmlog.Log
	offered   uint64
	sizes     []uint16

	// These three are changed by the device's goroutines too, which must not wait
	// for mu: whoever holds it may be waiting for them.
	status     atomic.Uint64 // the register, and above it the count of resets
	isr        atomic.Uint32
	generation atomic.Uint32

	mu      sync.Mutex // guards what follows; held while the device starts and stops
	setup   setup
	started bool
	live    []*virtio.Queue // while started
}

// setup is what the driver configures.
type setup struct {
	deviceFeaturesSel, driverFeaturesSel, queueSel uint32
	features                                       uint64 // that the driver has written
	queues                                         []virtio.QueueState
}

var _ devices.Handler = (*Transport)(nil)

// New returns a transport in its state after a reset, or in a saved one, with
// the device at rest. Close closes the device too; after an error it is still
// the caller's. Error: ErrState, or the system's when it makes kicks.
func New(c Config, saved *State) (*Transport, error) {
	t := &Transport{
		dev: c.Device, mem: c.Memory, interrupt: c.Interrupt, kicks: c.Kicks, log: calmlog.Log{Log: c.Log, Every: logEvery},
		offered: c.Device.Features() | virtio.FeatureIndirect | virtio.FeatureEventIdx | virtio.FeatureVersion1,
		sizes:   c.Device.QueueSizes(),
	}
	if c.Log == nil {
		t.log.Log = slog.New(slog.DiscardHandler)
	}
	t.setup = t.unset()
	if saved != nil {
		if err := saved.check(t.offered, t.sizes); err != nil {
			return nil, err
		}
	}
	switch {
	case t.kicks == nil:
		var err error
		if t.kicks, err = virtio.NewKicks(len(t.sizes)); err != nil {
			return nil, err
		}
		t.ownKicks = true
	case len(t.kicks) != len(t.sizes):
		return nil, fmt.Errorf("%d kicks for a device of %d queues", len(t.kicks), len(t.sizes))
	}
	if saved != nil {
		if err := t.restore(*saved); err != nil {
			return nil, errors.Join(err, t.closeKicks())
		}
	}
	return t, nil
}

// unset is the setup after a reset.
func (t *Transport) unset() setup {
	s := setup{queues: make([]virtio.QueueState, len(t.sizes))}
	for i, size := range t.sizes {
		s.queues[i].Size = size
	}
	return s
}

// Kicks are one for each queue: a 32-bit write of its index at NotifyOffset may
// signal it by itself.
func (t *Transport) Kicks() []*virtio.Kick { return t.kicks }

// Quiesce puts the device at rest. When ctx ends first the error says what it
// waits for; it still wants a Resume.
//
// Precondition: every vCPU is parked.
func (t *Transport) Quiesce(ctx context.Context) error { return t.dev.Quiesce(ctx) }

// Resume lets the device work, beginning with a look at every queue.
func (t *Transport) Resume() { t.dev.Resume() }

// Restored raises the interrupt again if its cause is still there. It comes
// after the interrupt controllers were restored, which would forget it; coming
// again it does no harm.
func (t *Transport) Restored() {
	if t.isr.Load() != 0 {
		t.edge()
	}
}

// Close stops and closes the device.
//
// Precondition: no vCPU uses the transport.
func (t *Transport) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stop()
	return errors.Join(t.dev.Close(), t.closeKicks())
}

func (t *Transport) closeKicks() error {
	if !t.ownKicks {
		return nil
	}
	return virtio.CloseKicks(t.kicks)
}

// raise sets an interrupt's cause, and then interrupts: the guest looks for it.
func (t *Transport) raise(cause uint32) {
	t.isr.Or(cause)
	t.edge()
}

// used is raise for queues.
func (t *Transport) used() { t.raise(interruptUsed) }

func (t *Transport) edge() {
	if err := t.interrupt.Raise(); err != nil {
		t.log.Warn("virtio interrupt is lost", "error", err)
	}
}
