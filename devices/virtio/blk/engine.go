package blk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/internal/uring"
)

// Kind is what an operation does to the image.
type Kind uint8

const (
	Read    Kind = iota // at Offset, into Vec
	Write               // at Offset, from Vec; Durable: it completes when it is durable
	Sync                // makes durable every write that had completed
	Discard             // gives back Length bytes at Offset, which then read as zeros
	Zero                // makes Length bytes at Offset zeros, and keeps room for them
)

// String is for messages.
func (k Kind) String() string {
	return [...]string{"read", "write", "sync", "discard", "zero"}[k]
}

// Op is one operation on an image. It belongs to the engine from Submit until
// Reap returns it.
type Op struct {
	Kind           Kind
	Durable        bool
	Offset, Length int64 // in bytes
	Vec            []unix.Iovec

	// Result is how many bytes were read or written, 0 for other operations, or
	// a negative error number.
	Result int32

	index int // of its request: tells it from all others of the queue
}

// Engine carries out the operations of one queue, many at a time. All calls but
// Wake come from one goroutine, which is the engine's to lock to a thread.
type Engine interface {
	// Waiter waits for kicks of the queue and for completions.
	virtio.Waiter
	// Submit takes an operation, to be begun with the next Reap.
	Submit(op *Op)
	// Reap begins what was submitted, and fills done with as many as fit of those
	// that have completed. It does not wait. An error means that the engine is of
	// no more use, and that nobody will ever tell what became of the rest.
	Reap(done []*Op) (int, error)
	// Close releases the engine. Precondition: everything submitted was reaped, or
	// Reap has failed, and the goroutine has ended.
	Close() error
}

// Opener makes the engine of a queue, for at most depth operations at a time.
// kick wakes the engine; it stays the caller's, and so does f.
type Opener func(f *os.File, depth int, kick *virtio.Kick) (Engine, error)

// Best is io_uring, or threads where that is not to be had.
func Best(f *os.File, depth int, kick *virtio.Kick) (Engine, error) {
	e, err := Ring(f, depth, kick)
	if errors.Is(err, uring.ErrUnavailable) {
		return Threads(f, depth, kick)
	}
	return e, err
}

const (
	discardMode = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	zeroMode    = unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE
)
