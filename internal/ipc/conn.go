// Package ipc carries calls, answers and file descriptors between the two
// processes of a machine over a SOCK_SEQPACKET socket pair.
//
// Both ends call and serve. A message is one packet: a CBOR envelope, with the
// descriptors as SCM_RIGHTS beside it. The peer is trusted only as far as a
// machine process is: every length is bounded and a malformed packet ends the
// connection, never the process.
package ipc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
	"golang.org/x/sys/unix"
)

const (
	// maxPacket bounds one message; a plan with CPUID tables is about 8 KiB.
	maxPacket = 160 << 10
	// maxFiles bounds the descriptors of one message.
	maxFiles = 128
)

// ErrClosed is returned by calls whose connection ended before the answer
// came. The caller must assume nothing about whether the call was carried out.
var ErrClosed = errors.New("the other process of this machine is gone")

// kind tells what an envelope is.
type kind uint8

const (
	kindCall kind = iota + 1
	kindAnswer
	kindNotify
)

type envelope struct {
	Kind   kind            `cbor:"1,keyasint"`
	ID     uint64          `cbor:"2,keyasint,omitempty"`
	Method string          `cbor:"3,keyasint,omitempty"`
	Body   cbor.RawMessage `cbor:"4,keyasint,omitempty"`
	Err    *Error          `cbor:"5,keyasint,omitempty"`
}

// Request is one call or notification that arrived.
type Request struct {
	Method string
	body   cbor.RawMessage
	// Files are the descriptors that came with it; the handler owns them.
	Files []*os.File
}

// Decode unpacks the request's argument into v.
func (r *Request) Decode(v any) error { return decode(r.body, v) }

// CloseFiles closes what the handler did not take.
func (r *Request) CloseFiles() {
	for _, f := range r.Files {
		if f != nil {
			f.Close()
		}
	}
}

// Reply is what a handler answers.
type Reply struct {
	Body  any
	Files []*os.File // closed once they are sent
}

// Handler serves the calls and notifications of the other side, each on a
// goroutine of its own, except that notifications are handled in order.
type Handler func(context.Context, *Request) (Reply, error)

type answer struct {
	body  cbor.RawMessage
	files []*os.File
	err   error
}

// Conn is one end of the socket pair. Its methods are safe for concurrent use.
type Conn struct {
	file    *os.File
	handler Handler
	done    chan struct{}

	mu      sync.Mutex             // guards what follows
	next    uint64                 // id of the next call
	waiting map[uint64]chan answer // calls without their answer
	closed  bool

	sendMu  sync.Mutex // guards sends, and with it sendBuf
	calls   sync.WaitGroup
	cancel  context.CancelFunc
	baseCtx context.Context
}

// Pair returns two connected sockets: one for each process.
func Pair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	for _, fd := range fds {
		widen(fd)
	}
	return os.NewFile(uintptr(fds[0]), "ipc"), os.NewFile(uintptr(fds[1]), "ipc"), nil
}

// New starts serving on one end of a Pair. It owns f. handler is called for
// what the other side asks; Done is closed when that side is gone.
func New(f *os.File, handler Handler) *Conn {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Conn{
		file:    f,
		handler: handler,
		done:    make(chan struct{}),
		waiting: make(map[uint64]chan answer),
		cancel:  cancel,
		baseCtx: ctx,
	}
	go c.read()
	return c
}

// Done is closed when the other side is gone or Close was called.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Close ends the connection; calls under way fail with ErrClosed.
func (c *Conn) Close() error {
	err := c.file.Close()
	<-c.done
	return err
}

// Drain waits until every call of the other side has been answered, at most
// for within. A side that is about to close does so first, or the answers that
// are on their way would be lost.
func (c *Conn) Drain(within time.Duration) {
	answered := make(chan struct{})
	go func() {
		c.calls.Wait()
		close(answered)
	}()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-answered:
	case <-timer.C:
	}
}

// Call asks the other side and waits for its answer, which is unpacked into
// out (nil: dropped). Descriptors in the answer are returned. files are closed
// once they are sent, or cannot be: a socket that stays open stays in the poller
// of this process, too, which would wake for all that the other one gets by it.
func (c *Conn) Call(ctx context.Context, method string, in, out any, files ...*os.File) ([]*os.File, error) {
	ch := make(chan answer, 1)
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		closeAll(files)
		return nil, ErrClosed
	}
	c.next++
	id := c.next
	c.waiting[id] = ch
	c.mu.Unlock()
	forget := func() {
		c.mu.Lock()
		delete(c.waiting, id)
		c.mu.Unlock()
	}
	err := c.send(envelope{Kind: kindCall, ID: id, Method: method}, in, files)
	closeAll(files)
	if err != nil {
		forget()
		return nil, err
	}
	select {
	case a := <-ch:
		if a.err != nil {
			closeAll(a.files)
			return nil, a.err
		}
		if out != nil {
			if err := decode(a.body, out); err != nil {
				closeAll(a.files)
				return nil, err
			}
		}
		return a.files, nil
	case <-ctx.Done():
		forget()
		return nil, ctx.Err()
	}
}

// Notify tells the other side something that needs no answer.
func (c *Conn) Notify(method string, in any) error {
	return c.send(envelope{Kind: kindNotify, Method: method}, in, nil)
}

// serve runs one call and answers it.
func (c *Conn) serve(id uint64, r *Request) {
	defer c.calls.Done()
	reply, err := c.handler(c.baseCtx, r)
	e := envelope{Kind: kindAnswer, ID: id, Err: toError(err)}
	if sendErr := c.send(e, reply.Body, reply.Files); sendErr != nil && err == nil && !errors.Is(sendErr, ErrClosed) {
		// An answer that cannot be packed must not leave the caller waiting.
		_ = c.send(envelope{Kind: kindAnswer, ID: id, Err: toError(sendErr)}, nil, nil)
	}
	closeAll(reply.Files)
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
