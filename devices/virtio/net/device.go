package net

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// standardMTU, in bytes, is what a driver takes for granted.
const standardMTU = 1500

// Config is what the device is made of.
type Config struct {
	// Tap is a file for each pair of queues, one to eight, all of one tap:
	// opened with IFF_VNET_HDR and a header of 12 bytes, and with
	// IFF_MULTI_QUEUE if they are several. The device owns them, and has them not
	// block; what other files of the same queue there are should have been made
	// before, or they are in Go's poller, and each packet wakes a thread.
	Tap []*os.File
	MAC [6]byte
	MTU int // bytes; 0 means 1500
	// Inherited: another process has served this very tap up to the state that is restored.
	// The tap stays as it is, and what it has queued is for this driver.
	Inherited bool
	// Sent inspects what the driver sends, Received what it is to get; nil: nothing is inspected.
	Sent, Received Inspector
	Log            *slog.Logger
}

// Device is a network device. Stats, Announce, Deliver and Release may be called from any
// goroutine, the rest as virtio.Device says.
type Device struct {
	log    *slog.Logger
	mac    [6]byte // after a reset
	mtu    int
	tap    control
	pairs  []*pair
	status status
	// backlog has its own lock.
	backlog *backlog

	mu        sync.Mutex // guards what follows and is held while the device changes its condition
	driver    virtio.Driver
	started   bool
	working   bool
	stale     bool           // what is in the tap is not for this driver
	inherited bool           // the tap is that of the driver to come
	raise     bool           // the link was down where the guest was
	control   virtio.Workers // of the control queue, if the driver uses it
	capture   *Capture       // reads the tap in place of the driver; nil: none

	// Of the control queue's worker; others only while it rests.
	inUse       int // pairs
	offloads    uint64
	offloadsSet bool
}

var _ virtio.Device = (*Device)(nil)

// New makes a device at rest, as it was when it was saved, or a new one. After
// an error the files are still the caller's.
func New(c Config, saved *State) (*Device, error) {
	sockets, err := newSockets(c.Tap)
	if err != nil {
		return nil, err
	}
	d, err := newDevice(c, saved, sockets, kernel{sockets})
	if err != nil {
		return nil, errors.Join(err, closeSockets(sockets))
	}
	for _, f := range c.Tap {
		_ = f.Close() // it was duplicated
	}
	return d, nil
}

func newDevice(c Config, saved *State, sockets []*socket, tap control) (*Device, error) {
	d := &Device{log: c.Log, mac: c.MAC, mtu: c.MTU, tap: tap, inUse: 1, inherited: c.Inherited}
	if d.mtu == 0 {
		d.mtu = standardMTU
	}
	d.backlog = newBacklog(len(sockets))
	for i, s := range sockets {
		p := newPair(s, d.backlog, i)
		p.rx.lost = d.lost
		p.rx.inspectWith(c.Received)
		p.tx.inspectWith(c.Sent)
		d.pairs = append(d.pairs, p)
	}
	if len(d.pairs) == 0 {
		return nil, errors.New("network device: no tap")
	}
	d.status.mac, d.status.bits = c.MAC, linkUp
	if saved != nil {
		if err := saved.check(len(d.pairs)); err != nil {
			return nil, err
		}
		d.restore(saved)
	}
	for i := 1; i < len(d.pairs); i++ { // the first always is
		if err := tap.attach(i, i < d.inUse); err != nil {
			return nil, err
		}
	}
	if d.inherited {
		return d, nil
	}
	return d, tap.offload(0)
}

// restore takes over what was saved. A link that was down was so because of the
// other host's tap.
func (d *Device) restore(s *State) {
	d.status.mac, d.status.bits = s.MAC, 0
	if s.Announce {
		d.status.bits |= announce
	}
	if s.LinkUp {
		d.status.bits |= linkUp
	}
	d.raise = !s.LinkUp
	d.inUse, d.offloadsSet, d.offloads = s.Pairs, s.OffloadsSet, s.Offloads
	d.backlog.use(d.inUse)
	for i, p := range s.Held {
		d.pairs[i].rx.held = copy(d.pairs[i].rx.spill, p)
	}
}

// ID implements virtio.Device.
func (*Device) ID() uint32 { return virtio.IDNet }

// Features implements virtio.Device.
func (d *Device) Features() uint64 {
	f := offered
	if d.mtu != standardMTU {
		f |= featureMTU
	}
	if len(d.pairs) > 1 {
		f |= featureMultiQueue
	}
	return f
}

// QueueSizes implements virtio.Device: a receive and a transmit queue for each
// pair, and the control queue.
func (d *Device) QueueSizes() []uint16 {
	sizes := make([]uint16, 2*len(d.pairs)+1)
	for i := range sizes {
		sizes[i] = queueSize
	}
	return sizes
}

// Start implements virtio.Device.
func (d *Device) Start(driver virtio.Driver) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, q := range driver.Queues {
		if q != nil && q.Size() > queueSize {
			return fmt.Errorf("%w: queue %d of %d descriptors", virtio.ErrDriver, i, q.Size())
		}
	}
	if !d.offloadsSet {
		d.offloads = driver.Features & guestOffloads
	}
	if err := d.tap.offload(tapOffloads(d.offloads)); err != nil {
		return err
	}
	d.driver, d.started, d.stale, d.inherited = driver, true, !d.inherited, false
	d.backlog.accept()
	known := 1 // pairs that the driver knows of, with the control queue behind them, section 5.1.2
	if driver.Has(featureMultiQueue) {
		known = len(d.pairs)
	}
	for i, p := range d.pairs[:known] {
		p.start(driver.Queues[2*i], driver.Queues[2*i+1], driver, d.mtu)
	}
	if q := driver.Queues[2*known]; q != nil && driver.Has(featureControl) {
		c := &controller{device: d, queue: q, driver: driver}
		d.control.Start(virtio.NewWorker(q.Kick(), c.step))
	}
	if d.working {
		d.resume()
	}
	return nil
}

// Stop implements virtio.Device.
func (d *Device) Stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.started {
		return
	}
	d.control.Stop()
	_ = d.control.Quiesce(context.Background()) // there are none: those to come begin at rest
	for _, p := range d.pairs {
		p.stop()
	}
	d.backlog.reset()
	d.driver, d.started = virtio.Driver{}, false
	d.offloads, d.offloadsSet = 0, false
	d.status.change(0, announce, nil)
	d.status.setMAC(d.mac)
	if err := errors.Join(d.use(1), d.tap.offload(0)); err != nil {
		d.log.Warn("reset of a network device", "error", err)
	}
}

// use has the tap share its packets out to n pairs.
// Precondition: those from n on are at rest.
func (d *Device) use(n int) error {
	defer func() { d.backlog.use(d.inUse) }()
	for ; d.inUse < n; d.inUse++ {
		if err := d.tap.attach(d.inUse, true); err != nil {
			return err
		}
	}
	for ; d.inUse > n; d.inUse-- {
		if err := d.tap.attach(d.inUse-1, false); err != nil {
			return err
		}
	}
	return nil
}

// Quiesce implements virtio.Device. What the tap has queued stays there.
func (d *Device) Quiesce(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.working = false
	if err := d.control.Quiesce(ctx); err != nil {
		return fmt.Errorf("network device, control queue: %w", err)
	}
	for i, p := range d.pairs {
		if err := p.quiesce(ctx); err != nil {
			return fmt.Errorf("network device, queue pair %d: %w", i, err)
		}
	}
	return nil
}

// Resume implements virtio.Device. The first time after a Start, unless Hold did so, it throws
// away what the tap had queued before: that was not for this driver, or it came to
// the host that the guest moved to before the guest did. What was captured comes first.
func (d *Device) Resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.working = true
	_ = d.control.Quiesce(context.Background()) // after one in vain it may still be changing what is in use
	d.resume()
}

// Precondition: d.mu is held, and the control queue's worker is at rest.
func (d *Device) resume() {
	if !d.started {
		return
	}
	d.discard()
	d.recover()
	for _, p := range d.pairs[:d.inUse] {
		p.workers.Resume()
	}
	d.control.Resume()
	if d.raise {
		d.status.change(linkUp, 0, d.driver.Transport.ConfigChanged)
	}
	d.raise = false
}

// Leave has the device change nothing of its tap any more: from here on it is
// another process's. Precondition: it is at rest.
func (d *Device) Leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tap = left{}
}

// Close implements virtio.Device.
func (d *Device) Close() error {
	if d.capture != nil {
		d.capture.End()
	}
	var errs []error
	for _, p := range d.pairs {
		errs = append(errs, p.tap.close())
	}
	return errors.Join(errs...)
}

// lost takes the link down: the tap was removed. It comes from receivers.
func (d *Device) lost(err error) {
	if d.status.change(0, linkUp, d.driver.Transport.ConfigChanged) {
		d.log.Error("the tap of a network device is gone: its link is down until the guest is moved or started anew", "error", err)
	}
}
