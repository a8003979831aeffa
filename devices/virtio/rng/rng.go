// Package rng is the virtio entropy device: it fills the guest's buffers with
// random bytes of the host's kernel.
//
// It moves without state: what a guest asked for and did not get yet is on its
// queue, and the target answers it.
//
// Source: VIRTIO 1.2, section 5.4.
package rng

import (
	"context"
	"fmt"

	"github.com/ferryvmm/ferry/devices/virtio"
)

const (
	queueSize = 256
	// maxBytes is how much a request gets, so that a huge one does not hold up a
	// pause. Fewer bytes than asked for are allowed, section 5.4.6.1.
	maxBytes = 64 << 10
)

// Source fills p with random bytes, without blocking. Error: the host has none.
type Source func(p []byte) error

// State is the device's saved state, version 1: nothing but its being there.
type State struct{}

// Version of State.
const Version = 1

// Config is what a device is made of.
type Config struct {
	Source Source // nil: the kernel's getrandom
}

// Device is an entropy device.
type Device struct {
	source  Source
	workers virtio.Workers
}

var _ virtio.Device = (*Device)(nil)

// New makes a device, at rest. saved is nil for a fresh one.
func New(c Config, saved *State) (*Device, error) {
	if c.Source == nil {
		c.Source = getrandom
	}
	return &Device{source: c.Source}, nil
}

// Save returns the state. Precondition: the device is at rest.
func (d *Device) Save() State { return State{} }

// ID is the device's type.
func (d *Device) ID() uint32 { return virtio.IDEntropy }

// Features are none.
func (d *Device) Features() uint64 { return 0 }

// QueueSizes is for one queue, of requests.
func (d *Device) QueueSizes() []uint16 { return []uint16{queueSize} }

// ReadConfig reads zeros: there is no configuration.
func (d *Device) ReadConfig(_ uint64, p []byte) { clear(p) }

// WriteConfig does nothing.
func (d *Device) WriteConfig(uint64, []byte) {}

// Start begins to serve a driver.
func (d *Device) Start(driver virtio.Driver) error {
	if q := driver.Queues[0]; q != nil {
		d.workers.Start(virtio.Serve(q, driver.Transport, d.fill))
	}
	return nil
}

// fill serves a request.
func (d *Device) fill(c *virtio.Chain) (written uint32, err error) {
	if len(c.Readable) > 0 || len(c.Writable) == 0 {
		return 0, fmt.Errorf("%w: a request for entropy has buffers to read, or none to write; section 5.4.6.1", virtio.ErrDriver)
	}
	for _, b := range c.Writable {
		n := min(len(b.Bytes), maxBytes-int(written))
		if n == 0 {
			break
		}
		if err := d.source(b.Bytes[:n]); err != nil {
			return 0, fmt.Errorf("entropy for the guest: %w", err)
		}
		written += uint32(n)
	}
	return written, nil
}

// Stop takes the driver away.
func (d *Device) Stop() { d.workers.Stop() }

// Quiesce puts the device at rest.
func (d *Device) Quiesce(ctx context.Context) error { return d.workers.Quiesce(ctx) }

// Resume lets it work.
func (d *Device) Resume() { d.workers.Resume() }

// Close has nothing to release.
func (d *Device) Close() error { return nil }
