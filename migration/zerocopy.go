package migration

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/internal/uring"
)

// DataPath is how memory leaves while the guest runs.
type DataPath string

const (
	PathAuto     DataPath = ""          // PathZeroCopy where that copies nothing, else PathCopy
	PathZeroCopy DataPath = "zero-copy" // the network reads guest memory itself
	PathCopy     DataPath = "copy"      // by writev
)

const (
	zeroSlots  = 512       // registered extents of a channel
	zeroRing   = 64        // submissions at a time
	zeroFlying = 256       // sends of which the kernel has not said that it reads their memory no longer
	zeroLeast  = 16 << 10  // bytes that are worth a send of their own: to copy less costs less
	zeroExtent = 256 << 20 // bytes that are registered at a time
	zeroTrial  = 1 << 20   // bytes that are sent before it is known whether the kernel copies, and registered
	zeroIovecs = 1024      // of one sendmsg: UIO_MAXIOV
	zeroParts  = 4096      // that are copied at a time
)

// Tokens of what is no send of registered memory.
const (
	zeroCopied   = 1 << 32 // a sendmsg, with the index of its step
	zeroWritable = 1 << 33
	zeroWake     = 1 << 34
)

// zeroCopy writes to a connection from registered memory, where that copies nothing, by a ring of its own: a thread does all that
// concerns it, for what a thread has submitted ends with it. Everything else, and everything from where the kernel is seen to copy, is written as ever.
type zeroCopy struct {
	conn   *net.TCPConn
	fd     int // conn's
	insist bool
	memory *guestmem.Memory

	jobs chan net.Buffers // nil buffers: wait until all memory is let go
	done chan zeroWritten
	wake int         // eventfd that ends a wait
	over atomic.Bool // there is no point in waiting
	off  atomic.Bool // write as ever
	why  atomic.Pointer[string]
	sent atomic.Uint64 // bytes that nobody copied

	registered atomic.Uint64 // bytes that were sent from registered memory, copied or not

	closing sync.Once

	// What follows is the thread's.
	ring    *uring.Ring
	table   *guestmem.Registration
	steps   []zeroStep
	parts   [][]byte // of the steps that are copied
	iovecs  []unix.Iovec
	headers [zeroRing]unix.Msghdr
	flights [zeroFlying]zeroFlight
	free    []uint16 // flights
	tried   uint64   // bytes sent while it is not known whether the kernel copies
	known   bool     // it does not, or that does not matter
}

// zeroStep is one operation of a write.
type zeroStep struct {
	p      []byte         // what is left of registered memory; nil: it is copied
	piece  guestmem.Piece // of p
	parts  [][]byte       // what is left to be copied
	size   int            // bytes left
	result int32          // of the last submission
}

// zeroFlight is a send of registered memory.
type zeroFlight struct {
	piece guestmem.Piece
	step  int
	sent  int // bytes
}

type zeroWritten struct {
	n   int64
	err error
}

// newZeroCopy makes what writes to a connection; nil where it is none of TCP.
func newZeroCopy(conn net.Conn, m *guestmem.Memory, insist bool) *zeroCopy {
	c, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	z := &zeroCopy{conn: c, memory: m, insist: insist, jobs: make(chan net.Buffers), done: make(chan zeroWritten)}
	raw, err := c.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { z.fd = int(fd) })
	}
	if err == nil {
		z.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	}
	if err != nil {
		return nil // the connection is broken, and says so to who writes
	}
	go z.run()
	return z
}

// Write implements io.Writer: what is no batch is copied.
func (z *zeroCopy) Write(p []byte) (int, error) { return z.conn.Write(p) }

// WriteBuffers writes the parts in order.
func (z *zeroCopy) WriteBuffers(v net.Buffers) (int64, error) {
	if z.off.Load() {
		return v.WriteTo(z.conn)
	}
	z.jobs <- v
	w := <-z.done
	return w.n, w.err
}

// settle returns when the kernel reads no memory any more, or nobody cares.
func (z *zeroCopy) settle() {
	z.jobs <- nil
	<-z.done
}

// count says what went over a channel; z may be nil.
func (z *zeroCopy) count(out *outlet) Channel {
	c := Channel{SentBytes: out.sent.Load()}
	if z != nil {
		c.RegisteredBytes, c.ZeroCopyBytes = z.registered.Load(), z.sent.Load()
	}
	return c
}

// interrupt ends what is being written and waited for. What is written from then on fails.
func (z *zeroCopy) interrupt() {
	z.over.Store(true)
	_ = z.conn.CloseWrite()                                   // what waits for room wakes, and fails
	_, _ = unix.Write(z.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // it cannot be full
}

// close ends the thread. Nothing is being written. Calling it again does nothing.
func (z *zeroCopy) close() {
	z.closing.Do(func() {
		z.over.Store(true)
		close(z.jobs)
		<-z.done
		unix.Close(z.wake)
	})
}

// fall has all that follows written as ever.
func (z *zeroCopy) fall(why string) {
	z.why.CompareAndSwap(nil, &why)
	z.off.Store(true)
}

// run is the thread.
func (z *zeroCopy) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(z.done)
	if err := z.open(); err != nil {
		z.fall(z.reason(err))
	}
	for v := range z.jobs {
		var w zeroWritten
		switch {
		case v == nil:
			z.settleAll()
		case z.off.Load():
			w.n, w.err = v.WriteTo(z.conn)
		default:
			w.n, w.err = z.write(v)
		}
		z.done <- w
	}
	z.shut()
}

func (z *zeroCopy) open() (err error) {
	if z.ring, err = uring.New(zeroRing); err != nil {
		return err
	}
	if err := z.ring.Enable(); err != nil {
		return err
	}
	if err := z.ring.MakeBuffers(zeroSlots); err != nil {
		return err
	}
	z.table = z.memory.Register(zeroTable{z.ring}, zeroSlots)
	z.steps, z.parts, z.iovecs = make([]zeroStep, 0, zeroRing), make([][]byte, 0, zeroParts), make([]unix.Iovec, 0, zeroParts)
	z.known = z.insist
	for i := range z.flights {
		z.free = append(z.free, uint16(i))
	}
	z.ring.Poll(zeroWake, z.wake)
	return nil
}

// shut gives everything back. What is still being read is pinned until it is not.
func (z *zeroCopy) shut() {
	if z.table != nil {
		z.table.Close()
	}
	if z.ring != nil {
		_ = z.ring.Close() // it is not used any more
	}
}

// reason says to people why memory is copied.
func (z *zeroCopy) reason(err error) string {
	switch {
	case errors.Is(err, uring.ErrMemlock):
		var l unix.Rlimit
		_ = unix.Getrlimit(unix.RLIMIT_MEMLOCK, &l) // 0 then: as good as any
		need := z.memory.Size()
		return fmt.Sprintf("the limit of locked memory, %d KiB, is too low: allow %d KiB for each channel (ulimit -l %d, or LimitMEMLOCK=%d of a systemd unit)",
			l.Cur>>10, need>>10, need>>10, need)
	case errors.Is(err, uring.ErrUnavailable):
		return fmt.Sprintf("%v (sysctl kernel.io_uring_disabled, or a seccomp filter)", err)
	}
	return err.Error()
}

// zeroTable is the ring's registered buffers.
type zeroTable struct{ ring *uring.Ring }

var _ guestmem.Registrar = zeroTable{}

func (t zeroTable) Register(key uint32, p []byte) error { return t.ring.SetBuffer(key, p) }
func (t zeroTable) Forget(key uint32) error             { return t.ring.SetBuffer(key, nil) }
