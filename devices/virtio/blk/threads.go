package blk

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// maxThreads is how many operations of a queue are carried out at once.
const maxThreads = 16

// threads is an engine of goroutines that make blocking system calls.
type threads struct {
	fd   int
	kick *virtio.Kick

	mu      sync.Mutex // guards what follows
	changed *sync.Cond // there is something to do, or closed
	todo    []*Op      // submitted and not begun, oldest first
	done    []*Op      // completed and not reaped
	count   int        // of goroutines
	idle    int        // of those that have nothing to do
	closed  bool
	ended   sync.WaitGroup
}

// Threads makes an engine that works on every kernel. It never fails.
func Threads(f *os.File, depth int, kick *virtio.Kick) (Engine, error) {
	e := &threads{fd: int(f.Fd()), kick: kick, todo: make([]*Op, 0, depth), done: make([]*Op, 0, depth)}
	e.changed = sync.NewCond(&e.mu)
	return e, nil
}

// Submit implements Engine.
func (e *threads) Submit(op *Op) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.todo = append(e.todo, op)
}

// Reap implements Engine.
func (e *threads) Reap(done []*Op) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.todo) == 1 && e.idle == e.count && e.todo[0].Kind != Sync {
		e.one() // nobody is as quick as who is awake; but a sync may take long, and others should not wait for it
	}
	for len(e.todo) > e.idle && e.count < maxThreads {
		e.count++
		e.idle++ // until it takes its first
		e.ended.Go(e.work)
	}
	for range min(len(e.todo), e.idle) {
		e.changed.Signal()
	}
	n := copy(done, e.done)
	e.done = e.done[:copy(e.done, e.done[n:])]
	return n, nil
}

// work carries out one operation after another.
func (e *threads) work() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		for len(e.todo) == 0 {
			if e.closed {
				return
			}
			e.changed.Wait()
		}
		e.idle--
		e.one()
		e.idle++
		if len(e.done) == 1 { // else a wake is on its way
			e.kick.Wake()
		}
	}
}

// one carries out the first operation that waits, without the lock.
//
// Precondition: mu is held, and there is one.
func (e *threads) one() {
	op := e.todo[0]
	e.todo = e.todo[:copy(e.todo, e.todo[1:])]
	e.mu.Unlock()
	op.Result = e.do(op)
	e.mu.Lock()
	e.done = append(e.done, op)
}

// do carries out an operation.
func (e *threads) do(op *Op) int32 {
	var err error
	switch op.Kind {
	case Read:
		return readv(e.fd, op.Vec, op.Offset)
	case Write:
		return writev(e.fd, op.Vec, op.Offset, writeFlags(op))
	case Sync:
		err = unix.Fdatasync(e.fd)
	case Discard:
		err = unix.Fallocate(e.fd, discardMode, op.Offset, op.Length)
	case Zero:
		err = unix.Fallocate(e.fd, zeroMode, op.Offset, op.Length)
	}
	return result(err)
}

// Wait implements virtio.Waiter.
func (e *threads) Wait() { e.kick.Wait() }

// Wake implements virtio.Waiter.
func (e *threads) Wake() { e.kick.Wake() }

// Close implements Engine.
func (e *threads) Close() error {
	e.mu.Lock()
	e.closed = true
	e.changed.Broadcast()
	e.mu.Unlock()
	e.ended.Wait()
	return nil
}
