package virtiotest

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// patience is how long something may take that should come at once.
const patience = 20 * time.Second

// Options say how a driver behaves. The zero value accepts all that is offered,
// uses every queue, and chains descriptors.
type Options struct {
	Refuse    uint64          // features that it does not accept
	Absent    []int           // queues that it does not use
	Size      uint16          // of queues, at most: a power of two; 0 is 256
	Indirect  bool            // uses indirect descriptors, if they were accepted
	Notify    func(queue int) // how it kicks; nil: as an ioeventfd does
	Unchecked bool            // for benchmarks: does not look whether what was written was marked dirty
}

// Driver is a guest's driver of one device. Its queues may be used from
// different goroutines; everything else is for one.
type Driver struct {
	t        testing.TB
	mem      *Memory
	o        Options
	dev      virtio.Device
	features uint64
	kicks    []*virtio.Kick
	queues   []*Queue        // nil: not used
	live     []*virtio.Queue // what the device has

	started, resumed bool
	closed           bool
	active           atomic.Bool   // started and resumed: the device may work
	changed          chan struct{} // something of the next happened
	failed           chan struct{} // closed by the first Fail

	mu      sync.Mutex // guards what follows
	configs int
	failure error
}

// NewDriver negotiates with a device and lays out its queues. The device stays
// at rest and without a driver. When the test ends it is closed.
func NewDriver(t testing.TB, dev virtio.Device, mem *Memory, o Options) *Driver {
	t.Helper()
	d := &Driver{t: t, mem: mem, o: o, dev: dev, changed: make(chan struct{}, 1)}
	d.features = (dev.Features() | virtio.FeatureIndirect | virtio.FeatureEventIdx | virtio.FeatureVersion1) &^ o.Refuse
	limit := o.Size
	if limit == 0 {
		limit = 256
	}
	for i, size := range dev.QueueSizes() {
		var q *Queue
		if !slices.Contains(o.Absent, i) {
			q = newQueue(d, i, min(size, limit))
		}
		d.queues = append(d.queues, q)
	}
	d.newKicks()
	t.Cleanup(d.Close)
	return d
}

// Run is a driver whose device is started and works.
func Run(t testing.TB, dev virtio.Device, mem *Memory, o Options) *Driver {
	t.Helper()
	d := NewDriver(t, dev, mem, o)
	d.Start()
	d.Resume()
	return d
}

// Features are what was negotiated, those of the transport among them.
func (d *Driver) Features() uint64 { return d.features }

// Queue is the queue of an index. It fails the test if the driver does not use it.
func (d *Driver) Queue(i int) *Queue {
	d.t.Helper()
	if i >= len(d.queues) || d.queues[i] == nil {
		d.t.Fatalf("the driver does not use queue %d", i)
	}
	return d.queues[i]
}

// Config reads size bytes of the configuration space.
func (d *Driver) Config(offset uint64, size int) []byte {
	p := make([]byte, size)
	d.dev.ReadConfig(offset, p)
	return p
}

// Start gives the device its queues, which are empty.
func (d *Driver) Start() {
	d.t.Helper()
	if err := d.TryStart(); err != nil {
		d.t.Fatalf("start the device: %v", err)
	}
}

// TryStart is Start for a device that may refuse.
func (d *Driver) TryStart() error {
	d.t.Helper()
	for _, q := range d.queues {
		if q != nil {
			q.reset()
		}
	}
	return d.attach()
}

// attach starts the device with the queues where they are.
func (d *Driver) attach() error {
	d.t.Helper()
	d.failed = make(chan struct{})
	d.setFailure(nil)
	d.live = make([]*virtio.Queue, len(d.queues))
	for i, q := range d.queues {
		if q == nil {
			continue
		}
		var err error
		if d.live[i], err = virtio.NewQueue(watched{d}, q.state, d.features, d.kicks[i], q.interrupt); err != nil {
			d.t.Fatalf("queue %d: %v", i, err)
		}
	}
	d.active.Store(d.resumed)
	err := d.dev.Start(virtio.Driver{Features: d.features, Queues: slices.Clone(d.live), Transport: transport{d, d.failed}})
	d.started = err == nil
	d.active.Store(d.started && d.resumed)
	return err
}

// Stop resets the device. What was not used by then will not be.
func (d *Driver) Stop() {
	if d.started {
		d.dev.Stop()
	}
	d.started = false
	d.active.Store(false)
}

// Resume lets the device work.
func (d *Driver) Resume() {
	d.resumed = true
	d.active.Store(d.started)
	d.dev.Resume()
}

// Quiesce puts the device at rest. From then on the test fails if it uses a queue.
func (d *Driver) Quiesce() {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	if err := d.dev.Quiesce(ctx); err != nil {
		d.t.Fatalf("quiesce: %v", err)
	}
	d.resumed = false
	d.active.Store(false)
}

// States are the queues' saved states; a queue that is not used has none.
//
// Precondition: the device is at rest.
func (d *Driver) States() []virtio.QueueState {
	states := make([]virtio.QueueState, len(d.live))
	for i, q := range d.live {
		if q != nil {
			states[i] = q.State()
		}
	}
	return states
}

// Move puts the device at rest and goes on with another, as after a move: with
// queues where the old ones were, with what is on them, and with the kicks lost
// that the old device had not seen. next makes the other of the old one's state;
// then the old one is closed.
func (d *Driver) Move(next func() virtio.Device) {
	d.t.Helper()
	d.Quiesce()
	states := d.States()
	dev := next()
	started := d.started
	d.Close()
	d.dev, d.closed = dev, false
	d.newKicks()
	if !started {
		d.Resume()
		return
	}
	for i, q := range d.queues {
		if q != nil {
			q.state = states[i]
		}
	}
	if err := d.attach(); err != nil {
		d.t.Fatalf("start the device after a move: %v", err)
	}
	for _, q := range d.queues {
		if q != nil {
			q.Interrupt() // a transport raises again what it had raised
		}
	}
	d.Resume()
}

func (d *Driver) newKicks() {
	d.t.Helper()
	var err error
	if d.kicks, err = virtio.NewKicks(len(d.queues)); err != nil {
		d.t.Fatal(err)
	}
}

// Close stops and closes the device; again, it does nothing.
func (d *Driver) Close() {
	if d.closed {
		return
	}
	d.Stop()
	d.closed = true
	if err := d.dev.Close(); err != nil {
		d.t.Errorf("close the device: %v", err)
	}
	_ = virtio.CloseKicks(d.kicks)
}
