package lab

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"
)

// stamp is a CLOCK_MONOTONIC time.
type stamp = time.Duration

// maxHistory is how many events other than heartbeats are remembered.
const maxHistory = 4096

// ErrEnded says that every stream has ended, so that what was waited for can
// no longer come. The caller should look at why the machines ended.
var ErrEnded = errors.New("lab: the guest's serial lines have ended")

// ErrPanic says that the guest panicked, so that what was waited for will not
// come.
var ErrPanic = errors.New("lab: the guest panicked")

// Observer is someone outside the guest who reads its serial lines, wherever
// it runs at the moment, and stamps each when its end is read. It is made by
// NewObserver, and its methods may be called from any goroutine.
type Observer struct {
	period time.Duration // of the heartbeat

	mu      sync.Mutex // guards everything below
	streams []*Stream
	heads   []head
	history []Event // all but heartbeats, oldest first
	cpus    map[int]*track
	ready   bool
	last    Stat // the latest
	corrupt uint64
	panics  uint64
	text    uint64            // lines that are nothing the contract names
	durable map[uint32]uint64 // by writer, of a Linux guest
	waiters map[*waiter]struct{}
}

// NewObserver makes an Observer of a guest whose vCPUs beat once a period
// each (loadgen: 500 µs unless told otherwise).
func NewObserver(period time.Duration) *Observer {
	return &Observer{
		period:  period,
		cpus:    make(map[int]*track),
		durable: make(map[uint32]uint64),
		waiters: make(map[*waiter]struct{}),
	}
}

// event records one event and wakes whom it concerns.
// Precondition: o.mu is held.
func (o *Observer) event(s *Stream, e Event) {
	switch e.Kind {
	case Beat:
		t := o.cpus[e.CPU]
		if t == nil {
			t = &track{}
			o.cpus[e.CPU] = t
		}
		if s.first == 0 {
			s.first = e.At
		}
		t.add(beat{number: e.Number, at: e.At, stream: s})
	case Ready:
		o.ready = true
	case StatLine:
		o.last = e.Stat
	case Corrupt:
		o.corrupt++
	case Panic:
		o.panics++
	case Disk:
		o.durable[e.Writer] = max(o.durable[e.Writer], e.Number)
	case Text:
		o.text++
	}
	if e.Kind != Beat {
		if len(o.history) == maxHistory {
			o.history = append(o.history[:0], o.history[maxHistory/2:]...)
		}
		o.history = append(o.history, e)
	}
	o.wake(e)
}

// Stat returns the latest STAT line; all zero when none has come.
func (o *Observer) Stat() Stat {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last
}

// Durable returns by writer the number up to which a Linux guest has said that
// its records are durable.
func (o *Observer) Durable() map[uint32]uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.durable)
}

// FirstBeat is when the first heartbeat was read from a stream; 0: none was.
func (o *Observer) FirstBeat(s *Stream) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return s.first
}

// Tail describes the last lines that are not heartbeats, and where each stream
// stands, for the message of an error.
func (o *Observer) Tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tail()
}

// Precondition: o.mu is held.
func (o *Observer) tail() string {
	var b strings.Builder
	for _, s := range o.streams {
		state := "open"
		if s.ended {
			state = "ended"
		}
		fmt.Fprintf(&b, "%s: %d bytes, %d lines, %s", s.Name, s.bytes, s.lines, state)
		if s.err != nil {
			fmt.Fprintf(&b, " (%v)", s.err)
		}
		if len(s.partial) > 0 {
			fmt.Fprintf(&b, ", unfinished %q", s.partial)
		}
		b.WriteByte('\n')
	}
	for _, e := range o.history[max(0, len(o.history)-8):] {
		fmt.Fprintf(&b, "%s| %s\n", e.Stream, e.Text)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
