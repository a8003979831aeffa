// Package console is the virtio console: one port, a line of text both ways.
//
// The device holds no byte of its own. What the guest sends goes on at once, to
// an output that never waits for a reader; what is typed is taken only when the
// guest has room for it, and waits outside until then. So a move loses nothing
// on either side.
//
// Source: VIRTIO 1.2, section 5.3.
package console

import (
	"context"
	"io"
	"sync"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// Feature bits, section 5.3.3.
const (
	featureSize       uint64 = 1 << 0
	featureEmergWrite uint64 = 1 << 2
)

// Queues, section 5.3.2.
const (
	receiveQueue = iota
	transmitQueue

	queueSize = 256
)

// State is the device's saved state, version 1.
type State struct {
	Columns, Rows uint16 // of the terminal; 0 is unknown
}

// Version of State.
const Version = 1

// Config is what a device is made of.
type Config struct {
	// Output takes what the guest sends. It must not wait for a reader.
	Output io.Writer
	// Room is told that Feed may take more. It must not block.
	Room func()
}

// Device is a console.
type Device struct {
	output  io.Writer
	room    func()
	workers virtio.Workers
	size    size

	mu      sync.Mutex // guards the next four, and the receive queue
	receive *virtio.Queue
	driver  virtio.Driver
	chain   virtio.Chain
	working bool

	emergency [1]byte // what a vCPU writes before there is a driver; guarded by size.mu
}

var _ virtio.Device = (*Device)(nil)

// New makes a device, at rest. saved is nil for a fresh one, whose terminal is
// of unknown size.
func New(c Config, saved *State) (*Device, error) {
	d := &Device{output: c.Output, room: c.Room}
	if saved != nil {
		d.size.columns, d.size.rows = saved.Columns, saved.Rows
	}
	return d, nil
}

// Save returns the state. Precondition: the device is at rest.
func (d *Device) Save() State {
	columns, rows := d.size.get()
	return State{Columns: columns, Rows: rows}
}

// ID is the device's type.
func (d *Device) ID() uint32 { return virtio.IDConsole }

// Features are a size, and output without a driver.
func (d *Device) Features() uint64 { return featureSize | featureEmergWrite }

// QueueSizes is for what the guest receives, and for what it transmits.
func (d *Device) QueueSizes() []uint16 { return []uint16{queueSize, queueSize} }

// Start begins to serve a driver.
func (d *Device) Start(driver virtio.Driver) error {
	d.mu.Lock()
	d.driver, d.receive = driver, driver.Queues[receiveQueue]
	d.mu.Unlock()
	if q := driver.Queues[receiveQueue]; q != nil {
		d.workers.Start(virtio.NewWorker(q.Kick(), d.announceRoom))
	}
	if q := driver.Queues[transmitQueue]; q != nil {
		d.workers.Start(virtio.Serve(q, driver.Transport, d.transmit))
	}
	return nil
}

// Stop takes the driver away.
func (d *Device) Stop() {
	d.workers.Stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.driver, d.receive = virtio.Driver{}, nil
}

// Quiesce puts the device at rest.
func (d *Device) Quiesce(ctx context.Context) error {
	d.mu.Lock()
	d.working = false
	d.mu.Unlock()
	return d.workers.Quiesce(ctx)
}

// Resume lets it work, and asks for what was typed meanwhile.
func (d *Device) Resume() {
	d.mu.Lock()
	d.working = true
	d.mu.Unlock()
	d.workers.Resume()
}

// Close has nothing to release.
func (d *Device) Close() error { return nil }
