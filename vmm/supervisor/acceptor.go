package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

const (
	// helloWithin bounds how long a connection may take to say what it is.
	helloWithin = 5 * time.Second
	// clearWithin bounds how long a new move waits for the last one to be cleared.
	clearWithin = time.Second
	// bereaveWithin bounds how long the word that a source is dead waits for its guest to start.
	bereaveWithin = 2 * time.Second
	// lingerWithin bounds the wait for a peer to read why it was refused.
	lingerWithin = time.Second
	// maxStrangers bounds the connections that have not said yet what they are.
	maxStrangers = 16
)

// attempt is one move that a source began: its control connection, and its
// bulk connection once that came.
type attempt struct {
	hello   migration.Hello
	control stream
	bulk    chan stream // holds the one bulk connection until next takes it
	later   chan later  // those that come later, for the machine
	joined  bool        // it came; guarded by acceptor.mu
}

// acceptor sorts the connections of a receiver by their Hello: control begins
// an attempt, bulk joins it, ask is answered from the record.
type acceptor struct {
	listener net.Listener
	door     *door // nil: everybody is let in
	ledger   ledger
	log      *slog.Logger
	attempts chan *attempt // holds the one attempt that next has not taken yet

	mu      sync.Mutex // guards what follows
	current *attempt
	changed chan struct{}               // closed when current changes
	full    bool                        // a guest runs here
	arrived *attempt                    // by which it came, while its source may come back
	bereave func(context.Context) error // tells the machine that its source is dead

	told    chan struct{} // closed when a source was told all that it needs of its guest
	telling sync.Once

	strangers chan struct{}
	closing   chan struct{} // closed by close
	group     sync.WaitGroup
}

func newAcceptor(l net.Listener, d *door, records ledger, log *slog.Logger) *acceptor {
	a := &acceptor{
		listener: l, door: d, ledger: records, log: log,
		attempts:  make(chan *attempt, 1),
		strangers: make(chan struct{}, maxStrangers),
		changed:   make(chan struct{}),
		told:      make(chan struct{}),
		closing:   make(chan struct{}),
	}
	a.group.Add(1)
	go a.accept()
	return a
}

// close ends the listening and waits for the connections that said nothing yet.
func (a *acceptor) close() {
	a.listener.Close()
	close(a.closing)
	a.door.close()
	a.group.Wait()
}

func (a *acceptor) accept() {
	defer a.group.Done()
	for {
		accepted, err := a.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			a.log.Warn("accepting a connection", "error", err)
			continue
		}
		conn := accepted.(stream) // of TCP and of unix sockets
		if a.door == nil {
			a.greet(conn)
			continue
		}
		a.group.Go(func() {
			if inside, ok := a.door.admit(conn); ok {
				a.greet(inside)
			}
		})
	}
}

// greet hears what a connection is, one of a bounded number at a time.
func (a *acceptor) greet(conn stream) {
	select {
	case a.strangers <- struct{}{}:
		a.group.Go(func() {
			a.sort(conn)
			<-a.strangers
		})
	default:
		a.log.Warn("too many connections that say nothing; one was closed", "from", conn.RemoteAddr())
		conn.Close()
	}
}

// sort reads a connection's Hello and puts it where it belongs.
func (a *acceptor) sort(conn stream) {
	_ = conn.SetDeadline(time.Now().Add(helloWithin))
	hello, err := migration.ReadHello(conn)
	if err != nil {
		a.log.Warn("a connection was refused", "from", conn.RemoteAddr(), "error", err)
		a.refuse(conn, err)
		return
	}
	switch hello.Role {
	case migration.RoleControl:
		err = a.begin(hello, conn)
	case migration.RoleBulk:
		err = a.join(hello, conn)
	case migration.RoleBereave:
		err = a.obituary(hello, conn)
	case migration.RoleUrgent, migration.RoleRejoin, migration.RoleChannel:
		err = a.pass(hello, conn)
	case migration.RoleProbe:
		if err := a.offer(conn); err != nil {
			a.log.Warn("telling what this host can take", "from", conn.RemoteAddr(), "error", err)
		}
		conn.Close()
		return
	case migration.RoleAsk:
		q := migration.Query{Move: hello.Move, Epoch: hello.Epoch}
		answer := a.ledger.settle(q)
		a.log.Info("asked about a move", "move", q.Move, "answer", answer)
		if answer == migration.Lost {
			defer a.telling.Do(func() { close(a.told) })
		}
		if err := migration.WriteAnswer(conn, q, answer); err != nil {
			a.log.Warn("answering about a move", "error", err)
		}
		conn.Close()
		return
	default:
		err = fmt.Errorf("role %d", hello.Role)
	}
	if err != nil {
		a.log.Warn("a connection was refused", "from", conn.RemoteAddr(), "error", err)
		a.refuse(conn, err)
		if r, ok := errors.AsType[*migration.Refusal](err); ok && (r.Code == migration.CodeComplete || r.Code == migration.CodeLost) {
			a.telling.Do(func() { close(a.told) }) // and the source has read it
		}
	}
}

// refuse tells the peer why and closes.
func (a *acceptor) refuse(conn stream, err error) {
	var r *migration.Refusal
	var v *migration.VersionError
	switch {
	case errors.As(err, &r):
	case errors.Is(err, migration.ErrEncrypted):
		r = &migration.Refusal{Code: api.CodeTLS, Message: err.Error(), Remedy: "start the receiver with --tls, too"}
	case errors.As(err, &v): // in words that are right at the other end
		r = &migration.Refusal{
			Code: "version",
			Message: fmt.Sprintf("the receiver speaks versions %d to %d of the migration protocol, the source %d to %d",
				v.OurMin, v.OurMax, v.TheirMin, v.TheirMax),
			Remedy: "use the same version of vmm on both hosts",
		}
	default:
		r = &migration.Refusal{Code: "protocol", Message: err.Error(), Remedy: "use vmm of the same version on both hosts"}
	}
	_ = migration.Refuse(conn, r)
	linger(conn)
}

// linger closes a connection once the peer has, or after a moment: what the peer still
// says, unread, would have our last word thrown away on its side.
func linger(conn stream) {
	defer conn.Close()
	if conn.CloseWrite() == nil && conn.SetReadDeadline(time.Now().Add(lingerWithin)) == nil {
		_, _ = io.Copy(io.Discard, conn)
	}
}

// begin starts an attempt, one at a time.
func (a *acceptor) begin(h migration.Hello, conn stream) error {
	at := &attempt{hello: h, control: conn, bulk: make(chan stream, 1), later: make(chan later, migration.MaxLater)}
	a.idle(clearWithin)
	a.mu.Lock()
	if a.full || a.current != nil {
		a.mu.Unlock()
		return &migration.Refusal{Code: "busy", Message: "this receiver is taking in another guest, or has one already",
			Remedy: "start another: vmm receive --listen tcp:HOST:PORT"}
	}
	a.set(at)
	a.mu.Unlock()
	_ = conn.SetDeadline(time.Time{})
	a.attempts <- at
	return nil
}

// idle waits a moment for an attempt to end: a source whose move failed knows
// it, and may try again, before everything of that move is cleared here.
func (a *acceptor) idle(within time.Duration) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	for {
		a.mu.Lock()
		busy, changed := a.current != nil, a.changed
		a.mu.Unlock()
		if !busy {
			return
		}
		select {
		case <-changed:
		case <-timer.C:
			return
		case <-a.closing:
			return
		}
	}
}

// join gives a bulk connection to its attempt.
func (a *acceptor) join(h migration.Hello, conn stream) error {
	if a.arrivedBy(h) != nil {
		return a.pass(h, conn)
	}
	at := a.attemptOf(h)
	if at == nil {
		return errUnknownMove
	}
	a.mu.Lock()
	joined := at.joined
	at.joined = true
	a.mu.Unlock()
	if joined {
		return &migration.Refusal{Code: "protocol", Message: "this move has its bulk connection already", Remedy: "start the move again"}
	}
	_ = conn.SetDeadline(time.Time{})
	at.bulk <- conn
	return nil
}

// arrivedBy is the attempt by which the guest that runs here came, if it is that of a hello.
func (a *acceptor) arrivedBy(h migration.Hello) *attempt {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at := a.arrived; at != nil && at.hello.Move == h.Move && at.hello.Epoch == h.Epoch {
		return at
	}
	return nil
}

// pass gives a connection that comes later to the machine of its move. A source
// that comes back is told if there is nothing to come back for.
func (a *acceptor) pass(h migration.Hello, conn stream) error {
	at := a.arrivedBy(h)
	if h.Role == migration.RoleRejoin {
		r := a.ledger.whole(migration.Query{Move: h.Move, Epoch: h.Epoch})
		if at == nil || r.Code == migration.CodeComplete || r.Code == migration.CodeLost {
			return r
		}
	}
	if at == nil {
		at = a.attemptOf(h)
	}
	if at == nil {
		return errUnknownMove
	}
	_ = conn.SetDeadline(time.Time{})
	select {
	case at.later <- later{h.Role, conn}:
		return nil
	default:
		return &migration.Refusal{Code: "protocol", Message: "this move has too many connections", Remedy: "start the move again"}
	}
}

// mourns has bereave called when the source of the guest that runs here is dead.
func (a *acceptor) mourns(bereave func(context.Context) error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bereave = bereave
}

// obituary is the word that the source of a guest is dead. A guest that is on its way
// may start all the same: the commit can be here already.
func (a *acceptor) obituary(h migration.Hello, conn stream) error {
	a.idle(bereaveWithin)
	if a.arrivedBy(h) != nil {
		a.mu.Lock()
		bereave := a.bereave
		a.mu.Unlock()
		if err := bereave(context.Background()); err != nil {
			return err
		}
	}
	defer conn.Close()
	return migration.WriteAnswer(conn, migration.Query{Move: h.Move, Epoch: h.Epoch}, migration.Started)
}

// done ends the current attempt; full says that its guest runs here now.
func (a *acceptor) done(full bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if full {
		a.arrived = a.current
	}
	a.set(nil)
	a.full = full
}

// set notes the current attempt. Precondition: mu is held.
func (a *acceptor) set(at *attempt) {
	a.current = at
	close(a.changed)
	a.changed = make(chan struct{})
}

// attemptOf waits for the attempt that a connection belongs to: two that were
// dialled one after the other may be read the other way round.
func (a *acceptor) attemptOf(h migration.Hello) *attempt {
	timer := time.NewTimer(helloWithin)
	defer timer.Stop()
	for {
		a.mu.Lock()
		at, changed := a.current, a.changed
		a.mu.Unlock()
		if at != nil && at.hello.Move == h.Move && at.hello.Epoch == h.Epoch {
			return at
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil
		case <-a.closing:
			return nil
		}
	}
}

// next waits for an attempt with both its connections.
func (a *acceptor) next(ctx context.Context) (*attempt, stream, error) {
	var at *attempt
	select {
	case at = <-a.attempts:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	timer := time.NewTimer(helloWithin)
	defer timer.Stop()
	select {
	case bulk := <-at.bulk:
		return at, bulk, nil
	case <-timer.C:
		a.refuse(at.control, &migration.Refusal{Code: "protocol", Message: "the move's bulk connection did not come", Remedy: "check the network between the hosts"})
		a.done(false)
		select {
		case late := <-at.bulk:
			late.Close()
		default:
		}
		return nil, nil, errNoBulk
	case <-ctx.Done():
		at.control.Close()
		a.done(false)
		return nil, nil, ctx.Err()
	}
}

// errUnknownMove answers a connection of a move that nothing is known of.
var errUnknownMove = &migration.Refusal{Code: "unknown_move", Message: "no such move is being received here", Remedy: "start the move again"}

// errNoBulk: the attempt came to nothing; wait for the next.
var errNoBulk = errors.New("the bulk connection of a move did not come")
