package mmio_test

import (
	"encoding/binary"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/mmio"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

// Registers, by the names that VIRTIO 1.2 table 4.1 gives them.
const (
	magicValue, version, deviceID, vendorID = 0x000, 0x004, 0x008, 0x00c
	deviceFeatures, deviceFeaturesSel       = 0x010, 0x014
	driverFeatures, driverFeaturesSel       = 0x020, 0x024
	queueSel, queueSizeMax, queueSize       = 0x030, 0x034, 0x038
	queueReady, queueNotify                 = 0x044, 0x050
	interruptStatus, interruptACK, status   = 0x060, 0x064, 0x070
	queueDesc, queueDriver, queueDevice     = 0x080, 0x090, 0x0a0 // low halves; the high ones follow
	shmSel, shmLen, shmBase                 = 0x0ac, 0x0b0, 0x0b8
	queueReset, configGeneration, config    = 0x0c0, 0x0fc, 0x100

	acknowledge, driver, driverOK, featuresOK, needsReset, failed = 1, 2, 4, 8, 64, 128
)

// accepted are the features that board's driver writes.
const accepted = virtiotest.EchoFeature | virtio.FeatureVersion1 | virtio.FeatureEventIdx | virtio.FeatureIndirect

// board is a transport in the place of a device: its driver is virtiotest's,
// which the board starts by writing the registers.
type board struct {
	*mmio.Transport
	t      testing.TB
	mem    *virtiotest.Memory
	all    []byte // of a fuzzed board's memory
	make   func() virtio.Device
	device virtio.Device
	log    *slog.Logger
	driver *virtiotest.Driver
	queues []*virtiotest.Queue
	kicks  []*virtio.Kick
	edges  atomic.Int64
}

var _ virtio.Device = (*board)(nil)

// newBoard has a transport of an echo device with queues of some sizes, and no driver yet.
func newBoard(t testing.TB, sizes ...uint16) *board {
	b := &board{t: t, mem: virtiotest.NewMemory(t, 1<<20), make: func() virtio.Device { return virtiotest.NewEcho(sizes...) }}
	kicks, err := virtio.NewKicks(len(sizes))
	if err != nil {
		t.Fatal(err)
	}
	b.kicks = kicks
	t.Cleanup(func() { _ = virtio.CloseKicks(kicks) })
	b.remake(nil)
	t.Cleanup(func() { _ = b.Transport.Close() })
	return b
}

// remake replaces the transport by one in a saved state, at rest.
func (b *board) remake(saved *mmio.State) {
	b.t.Helper()
	if b.Transport != nil {
		if err := b.Transport.Close(); err != nil {
			b.t.Errorf("close: %v", err)
		}
	}
	var err error
	if b.Transport, err = b.try(saved); err != nil {
		b.t.Fatalf("new transport: %v", err)
	}
}

func (b *board) try(saved *mmio.State) (*mmio.Transport, error) {
	b.device = b.make()
	return mmio.New(mmio.Config{Device: b.device, Memory: b.mem, Interrupt: b, Kicks: b.kicks, Log: b.log}, saved)
}

// run gives the board a driver that works, whose kicks arrive as exits.
func (b *board) run(o virtiotest.Options) *virtiotest.Driver {
	b.t.Helper()
	o.Notify = func(i int) { b.set(queueNotify, uint32(i)) }
	b.driver = virtiotest.NewDriver(b.t, b, b.mem, o)
	for i := range b.kicks {
		b.queues = append(b.queues, b.driver.Queue(i))
	}
	b.driver.Start()
	b.driver.Resume()
	return b.driver
}

// Raise is the interrupt line.
func (b *board) Raise() error {
	b.edges.Add(1)
	for _, q := range b.queues {
		q.Interrupt()
	}
	return nil
}

func (b *board) get(reg uint64) uint32 {
	var p [4]byte
	b.Read(reg, p[:])
	return binary.LittleEndian.Uint32(p[:])
}

func (b *board) set(reg uint64, v uint32) {
	var p [4]byte
	binary.LittleEndian.PutUint32(p[:], v)
	b.Write(reg, p[:])
}

func (b *board) want(what string, reg uint64, want uint32) {
	b.t.Helper()
	if got := b.get(reg); got != want {
		b.t.Errorf("%s: register %#x: got %#x; want %#x", what, reg, got, want)
	}
}

// negotiate takes the device to FEATURES_OK.
func (b *board) negotiate(features uint64) {
	b.set(status, acknowledge)
	b.set(status, acknowledge|driver)
	for sel := range uint32(2) {
		b.set(driverFeaturesSel, sel)
		b.set(driverFeatures, uint32(features>>(32*sel)))
	}
	b.set(status, acknowledge|driver|featuresOK)
}

// place configures a queue, and says that it is ready.
func (b *board) place(i int, s virtio.QueueState) {
	b.set(queueSel, uint32(i))
	b.set(queueSize, uint32(s.Size))
	for reg, gpa := range map[uint64]uint64{queueDesc: s.Desc, queueDriver: s.Avail, queueDevice: s.Use} {
		b.set(reg, uint32(gpa))
		b.set(reg+4, uint32(gpa>>32))
	}
	b.set(queueReady, 1)
}

// The methods below are those of the device in whose place b is.

func (b *board) ID() uint32                          { return b.get(deviceID) }
func (b *board) Features() uint64                    { return virtiotest.EchoFeature }
func (b *board) QueueSizes() []uint16                { return b.make().QueueSizes() }
func (b *board) ReadConfig(offset uint64, p []byte)  { b.Read(config+offset, p) }
func (b *board) WriteConfig(offset uint64, p []byte) { b.Write(config+offset, p) }
func (b *board) Stop()                               { b.set(status, 0) }

func (b *board) Start(d virtio.Driver) error {
	b.negotiate(d.Features)
	for i, q := range d.Queues {
		b.place(i, q.State())
	}
	b.set(status, acknowledge|driver|featuresOK|driverOK)
	return nil
}
