// Package vsock is the virtio socket device: streams between the guest and
// programs of its host. Who they are on the host is not known here: the guest's
// connections are dialled, and those of host programs come in, through small
// interfaces.
//
// Streams do not move. The guest is told at the target that its connections are
// lost, its listening sockets stay; host programs see the end of their streams.
//
// Each connection has buffers of fixed size and two goroutines, which move bytes
// between those and the host. Only the workers of the queues touch guest memory.
//
// Source: VIRTIO 1.2, section 5.10.
package vsock

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// ErrCID means that a guest cannot have this context id: choose another.
var ErrCID = errors.New("not a context id for a guest")

// featureStream says that there are sockets of streams, section 5.10.3.
const featureStream uint64 = 1 << 0

// Queues, section 5.10.2.
const (
	receiveQueue = iota
	transmitQueue
	eventQueue

	queueSize      = 256
	eventQueueSize = 16
)

// Host is the host's side of what the guest connects to.
type Host interface {
	// Dial connects to what the host offers at a port. It is called on a
	// goroutine of its own, and ends when ctx does. An error refuses the guest's
	// connection.
	Dial(ctx context.Context, port uint32) (net.Conn, error)
}

// State is the device's saved state, version 1: nothing but its being there.
// Who restores it has a guest whose connections are lost.
type State struct{}

// Version of State.
const Version = 1

// Config is what a device is made of.
type Config struct {
	CID  uint64 // the guest's context id: 3 to 2^32-2. It may be another one after a move.
	Host Host
}

// Device is a socket device.
type Device struct {
	cid     uint64
	host    Host
	workers virtio.Workers
	running sync.WaitGroup // goroutines of connections

	mu          sync.Mutex // guards what follows, and the connections
	closed      bool
	conns       map[ports]*conn    // those that the guest knows, or will
	live        map[*conn]struct{} // those that have goroutines
	ready       []*conn            // of conns, those that may have something for the guest
	resets      []header           // answers without a connection
	held        bool               // the transmitter waits until there is room for an answer
	lost        bool               // the guest does not know yet that its connections are
	lastPort    uint32             // of the host, that was given to a host program
	receiver    *receiver          // nil while there is no driver
	transmitter *virtio.Kick
}

var _ virtio.Device = (*Device)(nil)

// New makes a device, at rest. saved is nil for a fresh one. Error: ErrCID.
func New(c Config, saved *State) (*Device, error) {
	if c.CID <= hostCID || c.CID >= 1<<32-1 {
		return nil, fmt.Errorf("%w: %d; want 3 to %d", ErrCID, c.CID, uint32(1<<32-2))
	}
	return &Device{
		cid: c.CID, host: c.Host, lost: saved != nil,
		conns: make(map[ports]*conn), live: make(map[*conn]struct{}),
		ready: make([]*conn, 0, maxConns), resets: make([]header, 0, maxResets),
	}, nil
}

// Save returns the state. Precondition: the device is at rest.
func (d *Device) Save() State { return State{} }

// ID is the device's type.
func (d *Device) ID() uint32 { return virtio.IDVsock }

// Features are streams.
func (d *Device) Features() uint64 { return featureStream }

// QueueSizes is for packets to the guest, packets of the guest, and events.
func (d *Device) QueueSizes() []uint16 { return []uint16{queueSize, queueSize, eventQueueSize} }

// ReadConfig reads the guest's context id.
func (d *Device) ReadConfig(offset uint64, p []byte) {
	var space [8]byte
	binary.LittleEndian.PutUint64(space[:], d.cid)
	clear(p)
	if offset < uint64(len(space)) {
		copy(p, space[offset:])
	}
}

// WriteConfig does nothing.
func (d *Device) WriteConfig(uint64, []byte) {}

// Start begins to serve a driver, which needs both queues of packets.
func (d *Device) Start(driver virtio.Driver) error {
	receive, transmit, events := driver.Queues[receiveQueue], driver.Queues[transmitQueue], driver.Queues[eventQueue]
	if receive == nil || transmit == nil {
		return fmt.Errorf("%w: sockets without a queue for packets", virtio.ErrDriver)
	}
	r := &receiver{d: d, queue: receive, transport: driver.Transport}
	d.mu.Lock()
	d.receiver, d.transmitter, d.held = r, transmit.Kick(), false
	d.lost = d.lost && events != nil // who cannot be told needs not be waited for
	d.mu.Unlock()
	d.workers.Start(virtio.NewWorker(receive.Kick(), r.step), virtio.Serve(transmit, driver.Transport, d.transmit))
	if events != nil {
		e := &reporter{d: d, queue: events, transport: driver.Transport}
		d.workers.Start(virtio.NewWorker(events.Kick(), e.step))
	}
	return nil
}

// Stop takes the driver away, and with it all connections: host programs get
// what the guest has sent, and then the end.
func (d *Device) Stop() {
	d.workers.Stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.conns {
		d.drop(c)
	}
	d.resets = d.resets[:0]
	d.receiver, d.transmitter, d.held, d.lost = nil, nil, false, false
}

// Quiesce puts the device at rest. Connections stay; what hosts send waits.
func (d *Device) Quiesce(ctx context.Context) error { return d.workers.Quiesce(ctx) }

// Resume lets it work.
func (d *Device) Resume() { d.workers.Resume() }

// Close ends all connections. Host programs that do not read what the guest has
// sent are waited for at most a second.
func (d *Device) Close() error {
	d.mu.Lock()
	d.closed = true
	for c := range d.live {
		c.end()
		if c.stream != nil {
			_ = c.stream.SetWriteDeadline(time.Now().Add(flushFor))
		}
	}
	d.mu.Unlock()
	d.running.Wait()
	return nil
}
