package migration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ferryvmm/ferry/guestmem"
)

// sender executes what a source decides. Actions that take long are executed
// in order by run; the others at once by whoever brings the event: so that the
// answer to Prepared leaves from the goroutine that read it.
type sender struct {
	SendConfig
	start     time.Time
	link      *link    // nil: a copy to a file
	courier   *courier // the link's connection, of Local
	ctl       *outlet  // the link's, or the file's
	bulk      *outlet  // of Bulk, or the file's
	pages     *pageWriter
	packing   *packing      // nil: nothing is packed
	line      line          // of Bulk; guarded by the mutex of packing
	limit     *limiter      // of bulk while the guest runs; nil: none
	channels  *channels     // beside bulk
	urgent    net.Conn      // nil: the mode does not pull
	urgentOut *outlet       // of urgent
	reader    chan struct{} // closed when nobody reads the link any more

	// interrupt ends what is under way.
	interrupted context.Context
	interrupt   context.CancelFunc

	// Used by run's goroutine only.
	tracker *guestmem.Tracker
	state   []byte
	shown   time.Time
	seal    func() error // a file: writes its end and syncs it
	server  *server      // while the target pulls
	// forwarder is nil before the commit, and where nothing is forwarded. It is set while mu is held.
	forwarder *forwarder
	fetched   bool      // the target wants all that is missing
	sampled   time.Time // when the dirty log was looked at last

	owed                   *owed         // what the target pulls; set before the server is made
	urgentPages            atomic.Uint64 // sent because they were waited for
	pushedPages            atomic.Uint64 // sent by the server else
	pulledData, pulledZero atomic.Uint64 // pages of either, by their kind
	pulledSaved            atomic.Uint64 // bytes that packing them has saved

	mu         sync.Mutex // guards all below
	machine    source
	queue      []sourceAction
	wake       chan struct{} // holds one token when queue may have grown
	wanted     map[string]bool
	codecs     []string // that the target unpacks
	branches   bool     // the target takes channels beside bulk
	target     string
	times      switchover
	round      Round
	rounds     rounds
	counted    roundTotals // of all rounds
	expected   Forecast    // when the guest was stopped
	summed     bool        // the last round is among the rounds
	sentBefore uint64      // bytes, over connections that are no more
	rejoins    int
	faults     Faults
	delivered  deliveredMessage // of the target, at the end of the forwarding
	diverging  bool             // the guest was seen to write faster than the link takes
	timer      *time.Timer      // fires when the commit has been unanswered for undecidedAfter

	throttle  throttle
	throttled Throttled // at the end

	progressMu sync.Mutex // Progress is never called twice at a time
}

// undecidedAfter is when a move in doubt is reported so.
const undecidedAfter = 10 * time.Second

func newSender(c SendConfig, keep bool) *sender {
	if c.Mode == "" {
		c.Mode = Precopy
	}
	if c.DowntimeLimit == 0 {
		c.DowntimeLimit = 50 * time.Millisecond
	}
	s := &sender{SendConfig: c, start: time.Now(), wake: make(chan struct{}, 1)}
	if s.Accepted.IsZero() {
		s.Accepted = s.start
	}
	s.throttle.ceiling = c.Throttle
	s.machine = newSource(c.Mode, keep, c.DowntimeLimit)
	s.machine.wait = c.Continue != nil
	s.Description.Keep = keep
	s.Description.Modes = []Mode{c.Mode}
	if c.Dial == nil && c.Mode == Auto {
		s.machine.mode = Precopy
	}
	s.channels = &channels{s: s}
	s.interrupted, s.interrupt = context.WithCancel(context.Background())
	return s
}

func send(ctx context.Context, c SendConfig) (Result, error) {
	s := newSender(c, false)
	if c.Mode == Local {
		u, ok := c.Control.(*net.UnixConn)
		if !ok {
			return Result{Outcome: OutcomeFailed, Reason: ErrNotLocal.Error()}, errors.Join(ErrNotLocal, c.Control.Close(), c.Bulk.Close())
		}
		s.courier = newCourier(u)
		c.Control = s.courier
	}
	s.link = newLink(c.Control)
	s.ctl, s.bulk = s.link.out, newOutlet(c.Bulk)
	if c.Bandwidth > 0 {
		s.limit = newLimiter(c.Bulk, c.Bandwidth, s.interrupted.Done())
		s.bulk.through(s.limit)
	}
	s.pages = newPageWriter(s.bulk)
	s.readFrom(s.link)
	result, err := s.run(ctx)
	s.link.close(s.reader)
	if s.server != nil {
		s.server.close()
	}
	s.channels.close()
	s.Bulk.Close()
	if s.urgent != nil {
		s.urgent.Close()
	}
	return result, err
}

// readFrom begins to read what the target says.
func (s *sender) readFrom(l *link) {
	done := make(chan struct{})
	s.reader = done
	go func() {
		defer close(done)
		s.read(l)
	}()
}

// run executes the long actions, from the first to the last.
func (s *sender) run(ctx context.Context) (Result, error) {
	defer s.interrupt()
	stop := s.watch(ctx)
	defer stop()
	s.post(sourceInput{event: onStart})
	for {
		s.mu.Lock()
		var act sourceAction
		some := len(s.queue) > 0
		if some {
			act = s.queue[0]
			s.queue = s.queue[1:]
		}
		s.mu.Unlock()
		switch {
		case !some:
			<-s.wake
		case act == doEnd:
			s.speedUp()
			s.forwarder.stop()
			return s.result()
		default:
			s.do(ctx, act)
		}
	}
}

// watch brings in what comes from outside, until the function it returns is called.
func (s *sender) watch(ctx context.Context) func() {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		var timeout <-chan time.Time
		if s.Timeout > 0 {
			t := time.NewTimer(s.Timeout - time.Since(s.Accepted))
			defer t.Stop()
			timeout = t.C
		}
		cancel := s.Cancel
		for {
			select {
			case <-done:
				return
			case <-ctx.Done():
				s.post(sourceInput{event: onGiveUp, err: fmt.Errorf("%w: %w", ErrCancelled, context.Cause(ctx))})
				return
			case <-cancel:
				cancel = nil
				s.post(sourceInput{event: onCancel, err: ErrCancelled})
			case <-timeout:
				timeout = nil
				s.post(sourceInput{event: onTimeout, err: ErrTimeout})
			}
		}
	}()
	return func() {
		close(done)
		wg.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.timer != nil {
			s.timer.Stop()
		}
	}
}

// post gives an event to the machine, executes what is quick and queues what
// is long.
func (s *sender) post(in sourceInput) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.postLocked(in)
}

// postLocked is post for who holds mu.
func (s *sender) postLocked(in sourceInput) {
	in.now = time.Since(s.start)
	acts, err := s.machine.Step(in)
	if err != nil {
		acts, err = s.machine.Step(sourceInput{event: onFailed, now: in.now, err: err})
		if err != nil {
			panic(err) // no state refuses onFailed: there is a test
		}
	}
	for _, a := range acts {
		switch a {
		case doCommit:
			s.commit()
			s.timer = time.AfterFunc(undecidedAfter, s.undecided)
		case doForward:
			l := s.link
			s.forwarder = newForwarder(s.interrupted, s.Network, l.out, func(err error) { s.lost(l, err) })
		case doRelease:
			_ = s.ctl.frame(header{Type: frameRelease}, nil) // the target does without
		case doAbort:
			s.sayAbort()
		case doInterrupt:
			s.interrupt()
			if s.Bulk != nil {
				s.Bulk.SetDeadline(time.Unix(1, 0))
			}
			s.channels.interrupt()
			if s.urgent != nil {
				s.urgent.SetDeadline(time.Unix(1, 0))
			}
		case doCut:
			if s.pages != nil {
				s.pages.cut.Store(true)
			}
		default:
			s.queue = append(s.queue, a)
			select {
			case s.wake <- struct{}{}:
			default:
			}
		}
	}
}

// commit gives the guest away. The caller holds mu.
func (s *sender) commit() {
	h := header{Type: frameCommit}
	if s.machine.forwards {
		h.Flags = flagFrames
		s.Network.Commit()
	}
	s.times.committing = time.Now()
	if err := s.ctl.message(h, Query{Move: s.Move, Epoch: s.Epoch}); err != nil {
		s.postLocked(sourceInput{event: onLinkLost, err: linkError(err)})
	}
}

// sayAbort tells the target why the move ends, as far as it can be reached.
// The caller holds mu.
func (s *sender) sayAbort() {
	if s.link == nil {
		return
	}
	_ = s.ctl.message(header{Type: frameAbort}, refusalOf(s.machine.cause))
}

// refusalOf makes an error fit for a peer.
func refusalOf(err error) *Refusal {
	var r *Refusal
	switch {
	case errors.As(err, &r):
		return r
	case errors.Is(err, ErrCancelled):
		return &Refusal{Code: "cancelled", Message: err.Error()}
	case errors.Is(err, ErrTimeout):
		return &Refusal{Code: "timeout", Message: err.Error()}
	}
	return &Refusal{Code: "failed", Message: err.Error()}
}

// undecided is called when nobody has answered the commit for long.
func (s *sender) undecided() {
	s.mu.Lock()
	if s.machine.state == sourceCommitted {
		s.postLocked(sourceInput{event: onLinkLost, err: fmt.Errorf("%w: no answer to the commit", ErrLinkLost)})
	}
	doubt := s.machine.state == sourceInDoubt
	s.mu.Unlock()
	if doubt {
		s.report(PhaseInDoubt)
	}
}
