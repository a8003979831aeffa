package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// AnswerWithin is how long an answer may take; then its packet is lost.
const AnswerWithin = time.Second

// Pace is the time between two packets, unless another is asked for.
const Pace = time.Millisecond

// PingConfig is a client that asks a guest again and again.
type PingConfig struct {
	From  *Host
	To    netip.Addr
	Over  Protocol
	Every time.Duration // 0: Pace
}

// Ping sends numbered packets at a steady pace, whatever becomes of them, and
// notes when the answers come: by the kernel's stamps, so that only who sends
// must be on time. Its methods may be called from several goroutines.
type Ping struct {
	every  time.Duration
	socket pingSocket
	quit   chan struct{} // closed: send no more
	group  sync.WaitGroup
	sends  chan struct{} // closed when nothing more is sent

	mu       sync.Mutex    // guards what follows
	begin    stamp         // what was before does not count
	packets  []packet      // by number
	low      int           // the lowest number without an answer
	high     int           // the number behind the highest that has one
	again    []stamp       // answers that came once more
	late     []stamp       // answers behind one of a higher number
	wrong    []stamp       // answers that are not what was sent
	progress chan struct{} // closed when an answer comes; nil: nobody waits
}

// packet is when it was sent, and when its first answer came; 0: none yet.
type packet struct{ sent, came stamp }

// StartPing begins to ask. The guest need not be there yet.
func StartPing(c PingConfig) (*Ping, error) {
	p := &Ping{every: c.Every, quit: make(chan struct{}), sends: make(chan struct{})}
	if p.every == 0 {
		p.every = Pace
	}
	if err := c.From.Do(func() error { return p.socket.open(c.Over, c.To) }); err != nil {
		return nil, fmt.Errorf("lab: ask %v over %s: %w", c.To, c.Over, err)
	}
	go p.send()
	p.group.Go(p.read)
	return p, nil
}

// send sends until it is told to stop.
func (p *Ping) send() {
	defer close(p.sends)
	runtime.LockOSThread() // never unlocked: the thread ends with its priority
	preferred()
	b := make([]byte, p.socket.size())
	next := Now()
	for number := uint64(0); ; number++ {
		select {
		case <-p.quit:
			return
		default:
		}
		p.socket.question(b, number)
		p.mu.Lock()
		p.packets = append(p.packets, packet{sent: Now()})
		p.mu.Unlock()
		// What an earlier packet has met with is reported in the place of sending, once: a second failure is this
		// packet's, which is lost as others are that fail on their way.
		if _, err := p.socket.conn.Write(b); err != nil {
			_, _ = p.socket.conn.Write(b)
		}
		next = max(next+p.every, Now()) // what was missed is not made up for
		sleepUntil(next)
	}
}

// read takes answers until the socket is closed.
func (p *Ping) read() {
	b, oob := make([]byte, 2048), make([]byte, 128)
	for {
		number, kind, at, err := p.socket.read(b, oob)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // what a packet has met with; it is lost
		}
		p.mu.Lock()
		p.take(number, kind, at)
		p.mu.Unlock()
	}
}

// take notes an answer.
// Precondition: p.mu is held.
func (p *Ping) take(number uint64, kind answer, at stamp) {
	switch {
	case kind == stranger:
	case kind == damaged || number >= uint64(len(p.packets)):
		p.wrong = append(p.wrong, at)
	case p.packets[number].came != 0:
		p.again = append(p.again, at)
	default:
		p.packets[number].came = at
		if int(number) < p.high {
			p.late = append(p.late, at)
		}
		p.high = max(p.high, int(number)+1)
		for p.low < len(p.packets) && p.packets[p.low].came != 0 {
			p.low++
		}
		if p.progress != nil {
			close(p.progress)
			p.progress = nil
		}
	}
}

// Begin waits until the guest answers, and has Report count from then on: before
// client and guest know each other's address, packets may be lost.
func (p *Ping) Begin(ctx context.Context) error {
	if err := errors.Join(p.Await(ctx), p.Settle(ctx)); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begin = Now()
	return nil
}

// Await waits until a packet that is sent from now on is answered.
func (p *Ping) Await(ctx context.Context) error {
	end := p.count()
	return p.await(ctx, nil, func() bool { return p.high > end })
}

// Settle waits until every packet that has been sent by now is answered or
// lost.
func (p *Ping) Settle(ctx context.Context) error {
	patience := time.NewTimer(AnswerWithin)
	defer patience.Stop()
	end := p.count()
	return p.await(ctx, patience.C, func() bool { return p.low >= end })
}

// count is how many packets were sent.
func (p *Ping) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.packets)
}

// await waits until answers make enough true, or patience ends. enough is called
// with p.mu held.
func (p *Ping) await(ctx context.Context, patience <-chan time.Time, enough func() bool) error {
	for {
		p.mu.Lock()
		if enough() {
			p.mu.Unlock()
			return nil
		}
		if p.progress == nil {
			p.progress = make(chan struct{})
		}
		progress := p.progress
		p.mu.Unlock()
		select {
		case <-progress:
		case <-patience:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("lab: wait for answers: %w", context.Cause(ctx))
		}
	}
}

// Stop sends no more, waits for the last answers, and reports. It must be
// called once, and by one caller.
func (p *Ping) Stop() PingReport {
	close(p.quit)
	<-p.sends
	_ = p.Settle(context.Background()) // it ends by itself
	p.socket.conn.Close()
	p.group.Wait()
	return p.Report()
}

// preferred has the thread run when it is time, where the host allows it: on a
// host whose processors are all busy it would come late.
func preferred() {
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Policy: unix.SCHED_RR, Priority: 1, Flags: unix.SCHED_FLAG_RESET_ON_FORK}, 0)
}

// sleepUntil returns when Now is at least t.
func sleepUntil(t stamp) {
	ts := unix.NsecToTimespec(int64(t))
	for errors.Is(unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil), unix.EINTR) {
	}
}
