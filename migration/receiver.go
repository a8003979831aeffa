package migration

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// receiver executes what a target decides. Every action is executed at once by
// the goroutine that brings the event, but for Host.Build: so the state is
// restored by who read the last page, and the guest started by who read the
// commit.
type receiver struct {
	ReceiveConfig
	begin   time.Time
	link    *link    // nil: a file
	courier *courier // the link's connection, if that can carry descriptors
	ctl     *outlet
	bulk    *bulkReader
	wg      sync.WaitGroup // of the builder, the bulk reader and the pull
	pull    *puller        // nil: no page may be missing
	gone    chan struct{}  // closed at the end

	// building is done when what is built is not wanted any more.
	building     context.Context
	stopBuilding context.CancelFunc

	restoring restoring
	arrivals  arrivals

	mu       sync.Mutex // guards all below, and is held while actions are executed
	machine  target
	desc     Description
	built    Built
	unwanted Built // to be discarded at the end
	blobs    *blobs
	sections []Section
	packets  []Packet // to be delivered by actDeliver; in the bytes that came
	acked    uint32   // rounds
	rounds   rounds
	down     Downtime
	branches []net.Conn        // channels beside bulk
	joining  map[Role]net.Conn // connections that came after a link was lost
	reader   chan struct{}     // closed when nobody reads the link any more
}

func receive(ctx context.Context, c ReceiveConfig) (Result, error) {
	r := newReceiver(c)
	if u, ok := c.Control.(*net.UnixConn); ok {
		r.courier = newCourier(u)
		c.Control = r.courier
	}
	r.link = newLink(c.Control)
	r.ctl = r.link.out
	r.bulk = &bulkReader{in: newInlet(c.Bulk, bulkBuffer)}
	r.link.keepAlive()
	stop := context.AfterFunc(ctx, func() {
		r.post(targetInput{event: gotCancel, err: fmt.Errorf("%w: %w", ErrCancelled, context.Cause(ctx))})
	})
	r.readFrom(r.link)
	r.wg.Add(1)
	go r.attend()
	<-r.building.Done() // the machine is at its end
	stop()
	close(r.gone)
	r.arrivals.end()
	r.wg.Wait()
	r.pull.close()
	r.discard()
	if r.Settle != nil {
		r.Settle()
	}
	r.link.close(r.reader)
	r.courier.drop()
	r.closeBranches()
	r.Bulk.Close()
	return r.result()
}

// readFrom begins to read what the source says.
func (r *receiver) readFrom(l *link) {
	done := make(chan struct{})
	r.reader = done
	go func() {
		defer close(done)
		r.read(l)
	}()
}

func newReceiver(c ReceiveConfig) *receiver {
	r := &receiver{ReceiveConfig: c, begin: time.Now(), gone: make(chan struct{})}
	r.building, r.stopBuilding = context.WithCancel(context.Background())
	return r
}

// read brings in what the source says on the control connection, until that ends.
func (r *receiver) read(l *link) {
	defer l.drain()
	for {
		h, p, err := l.next()
		if err == nil {
			err = r.handle(h, p)
		}
		if err != nil {
			r.lost(l, err)
			return
		}
	}
}

// lost brings in that a link broke, unless there is another one already.
func (r *receiver) lost(l *link, err error) {
	r.restoring.give(err)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.link == l {
		r.failLocked(err)
	}
}

// fail brings in that a connection broke, or that something is wrong.
func (r *receiver) fail(err error) {
	r.restoring.give(err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failLocked(err)
}

// failLocked is fail for who holds mu.
func (r *receiver) failLocked(err error) {
	event := gotLinkLost
	if codecError(err) {
		event = gotFailed
	}
	r.postLocked(targetInput{event: event, err: err})
}

// handle turns a control frame into an event.
func (r *receiver) handle(h header, p []byte) error {
	in := targetInput{}
	switch h.Type {
	case frameReserve:
		var m reserveMessage
		if err := decode(h.Type, p, &m); err != nil {
			return err
		}
		d, err := m.description()
		if err != nil {
			return err
		}
		if d.Handed, err = r.courier.take(m.Handed); err != nil {
			return err
		}
		r.mu.Lock()
		if r.machine.state == targetNew {
			r.desc = d
		} else {
			for _, h := range d.Handed {
				h.File.Close()
			}
		}
		r.mu.Unlock()
		in.event = gotReserve
	case frameState:
		sections, err := DecodeState(p)
		if err != nil {
			return err
		}
		r.mu.Lock()
		if !r.machine.hasState {
			r.sections = sections
		}
		r.mu.Unlock()
		if r.link != nil {
			r.link.setSilence(switchSilence)
		}
		in.event = gotState
	case frameCommit:
		var q Query
		if err := decode(h.Type, p, &q); err != nil {
			return err
		}
		if want := (Query{Move: r.Hello.Move, Epoch: r.Hello.Epoch}); q != want {
			return fmt.Errorf("%w: commit of %v, epoch %d, in the move %v, epoch %d", ErrProtocol, q.Move, q.Epoch, want.Move, want.Epoch)
		}
		in.event, in.frames = gotCommit, h.Flags&flagFrames != 0
	case frameFrames:
		packets, err := parsePackets(nil, h.Count, p)
		if err != nil {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.packets = packets
		r.postLocked(targetInput{event: gotFrames})
		return nil
	case frameDrained:
		in.event = gotDrained
	case frameRelease:
		in.event = gotRelease
	case frameAbort:
		why := new(Refusal)
		if err := decode(h.Type, p, why); err != nil {
			return err
		}
		in.event, in.err = gotAbort, why
	default:
		return fmt.Errorf("%w: %v from a source", ErrProtocol, h.Type)
	}
	r.post(in)
	return nil
}

// post gives an event to the machine and executes what it decides, and so on
// with the outcomes of that.
func (r *receiver) post(in targetInput) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.postLocked(in)
}

// postLocked is post for who holds mu.
func (r *receiver) postLocked(in targetInput) {
	for more := true; more; {
		acts, err := r.machine.Step(in)
		if err != nil {
			acts, err = r.machine.Step(targetInput{event: gotFailed, err: err})
			if err != nil {
				panic(err) // no state refuses gotFailed: there is a test
			}
		}
		more = false
		for _, a := range acts {
			// Only the last action of a step has an outcome, but for words that
			// do not reach the source: there is a test.
			if next, ok := r.execute(a); ok && !more {
				in, more = next, true
			}
		}
	}
}

// result says how the move went.
func (r *receiver) result() (Result, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := &r.machine
	res := Result{
		Outcome:       m.outcome,
		MemoryBytes:   r.desc.MemoryBytes,
		ResidentBytes: r.desc.ResidentBytes,
		PageBytes:     r.rounds.bytes,
		Rounds:        r.rounds.all,
		TotalMS:       milliseconds(time.Since(r.begin)),
		Downtime:      r.down,
		Network:       r.arrivals.forwarded(),
	}
	if len(r.desc.Modes) > 0 {
		res.Mode = string(r.desc.Modes[0])
		res.ModeRequested = res.Mode
	}
	if m.cause != nil {
		res.Reason = m.cause.Error()
	} else if r.built != nil {
		res.TargetName = r.built.Name()
	}
	return res, m.cause
}
