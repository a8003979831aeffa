// Package balloon is the virtio traditional memory balloon, with reporting of
// free pages: what the guest does not use is given back to the host.
//
// A page that is given back is punched out of guest memory. It becomes a hole,
// which costs nothing, reads as zeros, and travels as a hole in a move.
//
// Source: VIRTIO 1.2, section 5.5.
package balloon

import (
	"context"
	"log/slog"
	"time"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/internal/calmlog"
)

// Feature bits, section 5.5.3.
const (
	featureDeflateOnOOM  uint64 = 1 << 2
	featurePagePoison    uint64 = 1 << 4
	featurePageReporting uint64 = 1 << 5
)

// Queues, section 5.5.2. We offer neither statistics nor hints, which have the
// two in between. Drivers differ in what follows from that: by the specification
// reports come on queue 4, but Linux leaves no gaps and takes 2. We take them
// from any.
const (
	inflateQueue = iota
	deflateQueue

	queueSize = 128
)

// PageSize is the balloon's unit in bytes, whatever the guest's is, section 5.5.6.
const PageSize = 4096

// logEvery is how often at most a failure is logged: a guest can cause any number.
const logEvery = time.Minute

// Memory is guest memory as the balloon sees it.
type Memory interface {
	// Punch makes whole pages a hole and marks them dirty. It fails, and does
	// nothing, unless all of the range is memory.
	Punch(gpa, size uint64) error
}

// State is the device's saved state, version 1.
type State struct {
	Target uint32 // pages that the guest is asked to give
	Actual uint32 // pages that it says it gave
	Poison uint32 // what its free pages are filled with, if it says so
}

// Version of State.
const Version = 1

// Config is what a device is made of.
type Config struct {
	Memory Memory
	Log    *slog.Logger // nil: nothing is logged
}

// Device is a balloon.
type Device struct {
	memory  Memory
	log     calmlog.Log
	workers virtio.Workers
	config  config
}

var _ virtio.Device = (*Device)(nil)

// New makes a device, at rest. saved is nil for a fresh one, which is empty.
func New(c Config, saved *State) (*Device, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	d := &Device{memory: c.Memory, log: calmlog.Log{Log: c.Log, Every: logEvery}}
	if saved != nil {
		d.config.state = *saved
	}
	return d, nil
}

// Save returns the state. Precondition: the device is at rest.
func (d *Device) Save() State { return d.config.get() }

// SetTarget asks the guest for pages of 4 KiB: it shall give as many, in all. It
// does so when it can, if it can; Actual tells how far it has come.
func (d *Device) SetTarget(pages uint32) { d.config.setTarget(pages) }

// Target is what was asked for, in pages of 4 KiB.
func (d *Device) Target() uint32 { return d.config.get().Target }

// Actual is what the guest says it has given, in pages of 4 KiB.
func (d *Device) Actual() uint32 { return d.config.get().Actual }

// ID is the device's type.
func (d *Device) ID() uint32 { return virtio.IDBalloon }

// Features are reports of free pages, the pattern that these are filled with, and
// that a guest out of memory may take pages back.
func (d *Device) Features() uint64 {
	return featureDeflateOnOOM | featurePagePoison | featurePageReporting
}

// QueueSizes is for all queues that the specification knows.
func (d *Device) QueueSizes() []uint16 {
	return []uint16{queueSize, queueSize, queueSize, queueSize, queueSize}
}

// ReadConfig reads the configuration space.
func (d *Device) ReadConfig(offset uint64, p []byte) { d.config.read(offset, p) }

// WriteConfig takes what the guest says.
func (d *Device) WriteConfig(offset uint64, p []byte) { d.config.write(offset, p) }

// Start begins to serve a driver.
func (d *Device) Start(driver virtio.Driver) error {
	d.config.setDriver(driver)
	for i, q := range driver.Queues {
		switch {
		case q == nil:
		case i == inflateQueue:
			d.workers.Start(virtio.Serve(q, driver.Transport, d.inflate))
		case i == deflateQueue:
			d.workers.Start(virtio.Serve(q, driver.Transport, deflate))
		case driver.Has(featurePageReporting):
			d.workers.Start(virtio.Serve(q, driver.Transport, d.report))
		}
	}
	return nil
}

// Stop takes the driver away: the balloon is empty then. What was given back
// stays so until the guest uses it.
func (d *Device) Stop() {
	d.workers.Stop()
	d.config.reset()
}

// Quiesce puts the device at rest.
func (d *Device) Quiesce(ctx context.Context) error { return d.workers.Quiesce(ctx) }

// Resume lets it work.
func (d *Device) Resume() { d.workers.Resume() }

// Close has nothing to release.
func (d *Device) Close() error { return nil }
