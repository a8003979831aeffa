package migration

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// drainTime is how long packets that take the old way are waited for, from the time that the guest
	// runs at the target, and how long the target holds back those of its host for them.
	drainTime = 2 * time.Millisecond
	// echoTime is how long the source waits instead where the target's announcement is to come round,
	// behind all of them.
	echoTime = 100 * time.Millisecond
	// lastBatches bounds what is forwarded when that time is over.
	lastBatches = 64
)

// forwarder sends the target what is captured for the guest, from the commit on: in a goroutine of
// its own, which ends once the guest is known to run there and all is sent, or by stop.
type forwarder struct {
	network NetworkSource
	out     *outlet
	failed  func(error)     // the link is broken
	link    context.Context // done when it is
	waiting context.Context // done when nothing more is waited for
	enough  context.CancelFunc
	buf     []byte

	started chan struct{} // closed when the target runs the guest
	stopped chan struct{} // closed when it never will, or nobody knows
	done    chan struct{} // closed by the goroutine

	sent, dropped atomic.Uint64 // packets
}

// newForwarder begins. Precondition: the commit has left.
func newForwarder(link context.Context, network NetworkSource, out *outlet, failed func(error)) *forwarder {
	f := &forwarder{
		network: network, out: out, failed: failed, link: link,
		started: make(chan struct{}), stopped: make(chan struct{}), done: make(chan struct{}),
	}
	f.waiting, f.enough = context.WithCancel(link)
	go f.run()
	return f
}

// patience is how long packets are waited for once the guest runs at the target.
func (f *forwarder) patience() time.Duration {
	if f.network.Echoes() {
		return echoTime
	}
	return drainTime
}

// start says, once, that the target runs the guest.
func (f *forwarder) start() {
	close(f.started)
	time.AfterFunc(f.patience(), f.enough)
}

// stop ends the forwarder, and returns when it has ended. It may be called twice.
func (f *forwarder) stop() {
	if f == nil {
		return
	}
	select {
	case <-f.started: // it ends by itself
	case <-f.stopped:
	default:
		close(f.stopped)
		f.enough()
	}
	<-f.done
	f.enough()
}

func (f *forwarder) run() {
	defer close(f.done)
	unsent, err := f.forward()
	if err != nil {
		f.failed(linkError(err))
	}
	select {
	case <-f.started:
	case <-f.stopped:
		return
	}
	if err != nil {
		f.abandon(unsent)
	}
	f.network.Leave()
}

// forward sends packets, and at the end that there are no more. Where that fails it tells how many of those it had
// got did not leave.
func (f *forwarder) forward() (unsent int, err error) {
	for last := 0; last < lastBatches; {
		if f.waiting.Err() != nil {
			last++ // what comes from here on comes too late
		}
		got := f.network.Next(f.waiting, batchPackets)
		f.dropped.Store(got.Dropped)
		n := len(got.Packets)
		if err := f.link.Err(); err != nil {
			return n, fmt.Errorf("%w: %w", ErrLinkLost, err)
		}
		if n > 0 {
			f.buf = appendPackets(f.buf[:0], got.Packets)
			if err := f.out.frame(header{Type: frameFrames, Count: uint32(n)}, f.buf); err != nil {
				return n, err
			}
			f.sent.Add(uint64(n))
		}
		if got.Barrier || last > 0 && n == 0 {
			break
		}
	}
	return 0, f.out.frame(header{Type: frameDrained}, nil)
}

// abandon counts what was captured and cannot be forwarded as lost.
func (f *forwarder) abandon(unsent int) {
	f.enough()
	f.dropped.Add(uint64(unsent))
	for range lastBatches {
		got := f.network.Next(f.waiting, batchPackets)
		f.dropped.Add(uint64(len(got.Packets)))
		if len(got.Packets) == 0 {
			return
		}
	}
}
