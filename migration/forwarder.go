package migration

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ferryvmm/ferry/internal/direct"
)

const (
	// drainTime is how long packets that take the old way are waited for, from the time that the guest
	// runs at the target, and how long the target holds back those of its host for them.
	drainTime = 2 * time.Millisecond
	// echoTime is how long the source waits instead where the target's announcement is to come round,
	// behind all of them: long enough for busy hosts. Where it does not come the move ends so much later; the guest runs.
	echoTime = 500 * time.Millisecond
	// overtaken is how long packets are waited for that the announcement has overtaken: a host with several processors may let it.
	overtaken = time.Millisecond
	// strayTime is how long those are forwarded that come even later, and may come out of order: a processor that is busy with
	// something else for so long may still have some. The guest runs.
	strayTime = 50 * time.Millisecond
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
	staying context.Context // done when the guest stays here, or the link is lost
	back    context.CancelFunc
	buf     []byte

	started chan struct{} // closed when the target runs the guest
	stopped chan struct{} // closed when it never will, or nobody knows
	done    chan struct{} // closed by the goroutine

	sent, dropped atomic.Uint64 // packets
}

// newForwarder begins: what is there by now leaves at once, right behind the commit, and so reaches the target before it has let its
// own network through. Precondition: the commit has left.
func newForwarder(link context.Context, network NetworkSource, out *outlet, failed func(error)) *forwarder {
	f := &forwarder{
		network: network, out: out, failed: failed, link: link,
		started: make(chan struct{}), stopped: make(chan struct{}), done: make(chan struct{}),
	}
	f.staying, f.back = context.WithCancel(link)
	f.waiting, f.enough = context.WithCancel(f.staying)
	at, cancel := context.WithCancel(link)
	cancel()
	first := f.step(at)
	go f.run(first)
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
		f.back()
	}
	<-f.done
	f.back()
}

func (f *forwarder) run(first step) {
	defer close(f.done)
	direct.Thread()
	last := f.forward(first)
	if last.err != nil {
		f.failed(linkError(last.err))
	}
	select {
	case <-f.started:
	case <-f.stopped:
		return
	}
	if last.err != nil {
		f.abandon(last.packets)
	}
	f.network.Leave()
}

// step is one look at what was captured.
type step struct {
	packets int   // that there were; with an error they did not leave
	barrier bool  // behind them
	err     error // of the link
}

// forward goes on from a first step, and says at the end that there are no more packets. It returns the last step.
func (f *forwarder) forward(s step) step {
	for s.err == nil && !s.barrier && f.waiting.Err() == nil {
		s = f.step(f.waiting)
	}
	if s.err == nil && s.barrier {
		s = f.stay(overtaken)
	}
	if s.err == nil {
		s = step{err: f.out.frame(header{Type: frameFrames}, nil)} // what its own network has may come through
	}
	if s.err == nil {
		s = f.stay(strayTime)
	}
	f.enough()
	for n := 0; n < lastBatches && s.err == nil && (n == 0 || s.packets > 0); n++ {
		s = f.step(f.waiting)
	}
	if s.err == nil {
		s = step{err: f.out.frame(header{Type: frameDrained}, nil)}
	}
	return s
}

// stay forwards what comes for some time, unless the guest is known to stay here. It returns the last step.
func (f *forwarder) stay(d time.Duration) (s step) {
	ctx, cancel := context.WithTimeout(f.staying, d)
	defer cancel()
	for s.err == nil && ctx.Err() == nil {
		s = f.step(ctx)
	}
	return s
}

// step sends what there is, and waits for it until ctx is done.
func (f *forwarder) step(ctx context.Context) step {
	got := f.network.Next(ctx, batchPackets)
	f.dropped.Store(got.Dropped)
	s := step{packets: len(got.Packets), barrier: got.Barrier}
	if err := f.link.Err(); err != nil {
		s.err = fmt.Errorf("%w: %w", ErrLinkLost, err)
	} else if s.packets > 0 {
		f.buf = appendPackets(f.buf[:0], got.Packets)
		s.err = f.out.frame(header{Type: frameFrames, Count: uint32(s.packets)}, f.buf)
	}
	if s.err == nil {
		f.sent.Add(uint64(s.packets))
	}
	return s
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
