package virtio

import (
	"context"
	"errors"
)

// ErrDriver means that the driver broke the rules. The device must stop and say
// that it needs a reset: [Transport.Fail].
var ErrDriver = errors.New("virtio driver error")

// Device types, section 5.
const (
	IDNet     = 1
	IDBlock   = 2
	IDConsole = 3
	IDEntropy = 4
	IDBalloon = 5
	IDVsock   = 19
)

// Feature bits that are the transport's and the queues' business, section 6.
// Transports offer all of them; devices see those that were accepted.
const (
	FeatureIndirect uint64 = 1 << 28
	FeatureEventIdx uint64 = 1 << 29
	FeatureVersion1 uint64 = 1 << 32
)

// Device is a device as its transport sees it.
//
// A device is made at rest. Between Resume and Quiesce it works, if a driver has
// started it; Start and Stop may come in either condition.
type Device interface {
	// ID is the device's type.
	ID() uint32
	// Features are those that the device offers.
	Features() uint64
	// QueueSizes are the largest sizes of the queues: powers of two.
	QueueSizes() []uint16
	// ReadConfig reads the device's configuration space; beyond its end are
	// zeros. WriteConfig writes what is writable. Both come on a vCPU's thread
	// and must neither block nor allocate.
	ReadConfig(offset uint64, p []byte)
	WriteConfig(offset uint64, p []byte)

	// Start gives the device its driver, which is ready. An error means that the
	// driver set up what cannot work; the device is as before.
	Start(d Driver) error
	// Stop takes the driver away: it resets the device. Once it returns, the
	// device touches no memory and no queue of it. It waits for requests that
	// were submitted; nothing bounds that but the backend.
	Stop()

	// Quiesce puts the device at rest: it takes nothing more from a queue and
	// waits for what it has submitted, after which it touches neither guest
	// memory nor its backend. When ctx ends first the error says what it waits
	// for; the device still wants a Resume.
	Quiesce(ctx context.Context) error
	// Resume lets it work, and look at each queue: a kick may have been lost
	// with the host that the guest came from.
	Resume()
	// Close releases the backend. Precondition: no driver has it (Stop).
	Close() error
}

// Driver is the guest's side of a device.
type Driver struct {
	Features  uint64   // accepted
	Queues    []*Queue // one for each size; nil if the driver does not use it
	Transport Transport
}

// Has tells whether the driver accepted all of these features.
func (d Driver) Has(features uint64) bool { return d.Features&features == features }

// Transport is what a device may tell its driver beside what is on the queues.
// It may be called from any goroutine and does not block.
type Transport interface {
	// ConfigChanged tells that the configuration space has new values. It comes
	// before they can be read, that is, under the lock that ReadConfig takes:
	// else a driver that reads them in two pieces could get one old and one new.
	ConfigChanged()
	// Fail says that the device cannot go on before a reset: err is for the log.
	Fail(err error)
}

// Memory is guest memory as devices see it.
type Memory interface {
	// View returns guest memory itself, not a copy. The guest may change it at
	// any time. It fails unless all of the range is memory. What is still on
	// another host it waits for; guestmem.ErrInterrupted says that it is not to.
	View(gpa, size uint64) ([]byte, error)
	// Check is View without the wait: it fails unless all of the range is memory.
	Check(gpa, size uint64) error
	// MarkDirty notes that part of a view was written. It comes after the bytes
	// have landed and before the guest is told of them.
	MarkDirty(gpa, size uint64)
}
