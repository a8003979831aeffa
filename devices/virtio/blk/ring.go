package blk

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/internal/uring"
)

// kickToken is the token of the poll for kicks; those of operations are indices.
const kickToken = 1 << 63

// ring is an engine on an io_uring. One system call submits, completes and waits,
// for completions and kicks alike: the kick's eventfd is polled by the ring. The
// worker keeps its thread: the kernel cancels what a thread has submitted when
// that thread ends, and Go ends threads that a goroutine was locked to.
type ring struct {
	ring  *uring.Ring
	fd    int
	kick  *virtio.Kick
	ops   []*Op // by index: those submitted
	done  []*Op // completed and not reaped
	count int   // of operations that the kernel has
	begun bool
	armed bool // the poll for kicks is on
	// kicked: a kick came while the worker was working. It may have come too late
	// for what was done since, and so must end the next Wait.
	kicked bool
	deaf   error // why the poll for kicks ended: what was submitted still completes
	err    error // why nothing does
}

// Ring makes an engine on an io_uring. Its goroutine stays on one thread, which
// waits in the kernel. Errors: uring.ErrUnavailable, when the caller uses Threads.
func Ring(f *os.File, depth int, kick *virtio.Kick) (Engine, error) {
	r, err := uring.New(uint32(depth) + 1) // the poll takes one
	if err != nil {
		return nil, err
	}
	return &ring{ring: r, fd: int(f.Fd()), kick: kick, ops: make([]*Op, depth), done: make([]*Op, 0, depth)}, nil
}

// Submit implements Engine.
func (e *ring) Submit(op *Op) {
	e.ops[op.index] = op
	e.count++
	token := uint64(op.index)
	switch op.Kind {
	case Read:
		e.ring.Readv(token, e.fd, op.Vec, op.Offset)
	case Write:
		e.ring.Writev(token, e.fd, op.Vec, op.Offset, writeFlags(op))
	case Sync:
		e.ring.Fdatasync(token, e.fd)
	case Discard:
		e.ring.Fallocate(token, e.fd, discardMode, op.Offset, op.Length)
	case Zero:
		e.ring.Fallocate(token, e.fd, zeroMode, op.Offset, op.Length)
	}
}

func writeFlags(op *Op) uint32 {
	if op.Durable {
		return unix.RWF_DSYNC
	}
	return 0
}

// Reap implements Engine.
func (e *ring) Reap(done []*Op) (int, error) {
	if e.prepare() && e.ring.Pending() {
		e.check(e.ring.Enter(false))
	}
	if e.collect() {
		e.kicked = true
	}
	n := copy(done, e.done)
	e.done = e.done[:copy(e.done, e.done[n:])]
	if e.count == 0 && len(e.done) == 0 {
		e.check(e.deaf)
	}
	return n, e.err
}

// Wait implements virtio.Waiter.
func (e *ring) Wait() {
	switch {
	case e.kicked:
		e.kicked = false
	case e.deaf != nil && e.count == 0:
		e.kick.Wait()
	case e.prepare():
		e.check(e.ring.Enter(true))
		e.collect()
	default:
		e.kick.Wait() // there is only Wake left to wait for
	}
}

// collect takes the completions that have come in, and tells whether there was a kick.
func (e *ring) collect() (kicked bool) {
	for c, ok := e.ring.Next(); ok; c, ok = e.ring.Next() {
		if c.Token == kickToken {
			kicked = true
			if e.armed = c.More; c.Result < 0 {
				e.deaf = fmt.Errorf("io_uring: poll for kicks: %w", unix.Errno(-c.Result))
			}
			continue
		}
		e.count--
		op := e.ops[c.Token]
		op.Result = c.Result
		e.done = append(e.done, op)
	}
	return kicked
}

// Wake implements virtio.Waiter.
func (e *ring) Wake() { e.kick.Wake() }

// prepare sees to it that this thread has the ring and is told of kicks.
func (e *ring) prepare() bool {
	if !e.begun {
		e.begun = true
		runtime.LockOSThread() // until the goroutine, and with it the thread, ends
		e.check(e.ring.Enable())
	}
	if !e.armed && e.deaf == nil && e.err == nil {
		e.armed = true
		e.ring.Poll(kickToken, e.kick.FD())
	}
	return e.err == nil
}

// check keeps the first error.
func (e *ring) check(err error) {
	if e.err == nil {
		e.err = err
	}
}

// Close implements Engine.
func (e *ring) Close() error { return e.ring.Close() }
