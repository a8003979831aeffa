package blk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// Device is a disk.
type Device struct {
	config Config
	serial [IDSize]byte
	zeros  []byte // a mapping that nobody writes to

	writeback atomic.Bool  // the driver's choice: what it writes may stay in a cache until it flushes
	noDiscard atomic.Bool  // the image's filesystem cannot punch holes
	noZero    atomic.Bool  // nor zero a range
	lost      atomic.Int32 // error number of a sync that failed: what it should have kept is gone
	logged    [Zero + 1]atomic.Bool
	counters  counters

	mu      sync.Mutex // guards the next two; never held while waiting
	servers []*server
	running bool
}

var _ virtio.Device = (*Device)(nil)

// New makes a disk, at rest, in the state of a saved one if there is one. The
// image is the device's, unless there is an error: ErrConfig, or no memory.
func New(c Config, saved *State) (*Device, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Engine == nil {
		c.Engine = Best
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	d := &Device{config: c}
	copy(d.serial[:], c.Name)
	var err error
	if d.zeros, err = pages(zeroBytes); err != nil {
		return nil, fmt.Errorf("disk %s: %w", c.Name, err)
	}
	d.writeback.Store(saved == nil || saved.Writeback)
	return d, nil
}

// ID implements virtio.Device.
func (d *Device) ID() uint32 { return virtio.IDBlock }

// Features implements virtio.Device.
func (d *Device) Features() uint64 { return d.config.features() }

// QueueSizes implements virtio.Device.
func (d *Device) QueueSizes() []uint16 {
	sizes := make([]uint16, d.config.Queues)
	for i := range sizes {
		sizes[i] = QueueSize
	}
	return sizes
}

// ReadConfig implements virtio.Device.
func (d *Device) ReadConfig(offset uint64, p []byte) {
	clear(p)
	if s := d.config.space(d.writeback.Load()); offset < configSize {
		copy(p, s[offset:])
	}
}

// WriteConfig implements virtio.Device: only the choice between writeback and
// writethrough can be written.
func (d *Device) WriteConfig(offset uint64, p []byte) {
	if offset <= writebackOffset && writebackOffset-offset < uint64(len(p)) {
		d.writeback.Store(p[writebackOffset-offset] != 0)
	}
}

// Start implements virtio.Device.
func (d *Device) Start(driver virtio.Driver) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var servers []*server
	for i, q := range driver.Queues {
		if q == nil {
			continue
		}
		s, err := newServer(d, driver, q)
		if err != nil {
			for _, s := range servers {
				s.close()
			}
			return fmt.Errorf("disk %s: queue %d: %w", d.config.Name, i, err)
		}
		servers = append(servers, s)
	}
	if driver.Has(FeatureConfigWCE) && !driver.Has(FeatureFlush) {
		d.writeback.Store(false) // section 5.2.5.2
	}
	d.servers = servers
	if d.running {
		for _, s := range d.servers {
			s.resume()
		}
	}
	return nil
}

// Stop implements virtio.Device. Requests on their way are waited for: the
// kernel would go on writing into the guest's memory.
func (d *Device) Stop() {
	servers := d.serving()
	for _, s := range servers {
		s.end()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.servers = nil
	d.writeback.Store(true)
}

// serving are the servers there are now.
func (d *Device) serving() []*server {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.servers
}

// Quiesce implements virtio.Device. The error names the disk and says how many
// requests it waits for.
func (d *Device) Quiesce(ctx context.Context) error {
	d.mu.Lock()
	d.running = false
	servers := d.servers
	d.mu.Unlock()
	for _, s := range servers {
		s.park() // all at once
	}
	for _, s := range servers {
		if err := s.drain(ctx); err != nil {
			waiting := 0
			for _, s := range servers {
				waiting += int(s.inflight.Load())
			}
			return fmt.Errorf("disk %s: %d requests wait for its image: %w", d.config.Name, waiting, err)
		}
	}
	return nil
}

// Resume implements virtio.Device.
func (d *Device) Resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running = true
	for _, s := range d.servers {
		s.resume()
	}
}

// Sync makes durable all that the guest has written, for another host to take
// over the image. An error may be that of an earlier flush: then something is gone.
func (d *Device) Sync() error {
	err := unix.Fdatasync(int(d.config.File.Fd()))
	for errors.Is(err, unix.EINTR) {
		err = unix.Fdatasync(int(d.config.File.Fd()))
	}
	if lost := d.lost.Load(); lost != 0 {
		err = unix.Errno(lost)
	}
	if err != nil {
		d.lost.CompareAndSwap(0, -result(err))
		return fmt.Errorf("disk %s: sync: %w", d.config.Name, err)
	}
	return nil
}

// Close implements virtio.Device.
func (d *Device) Close() error {
	if err := errors.Join(d.config.File.Close(), unix.Munmap(d.zeros)); err != nil {
		return fmt.Errorf("disk %s: close: %w", d.config.Name, err)
	}
	return nil
}

// report logs the first failure of each kind of operation, which tells a person
// what the guest only sees as an error. A guest can cause any number of them.
func (d *Device) report(op *Op, result int32) {
	if d.logged[op.Kind].CompareAndSwap(false, true) {
		d.config.Log.Warn("disk: an operation on the image failed; later ones of this kind are not logged",
			"disk", d.config.Name, "operation", op.Kind.String(), "offset", op.Offset, "err", unix.Errno(-result))
	}
}
