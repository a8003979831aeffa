package drive

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/migration"
)

// Cut is a way in which a link fails.
type Cut int

// The ways.
const (
	Reset    Cut = iota + 1 // both ends learn at once that their connections are gone
	Silence                 // neither end learns anything
	HalfOpen                // the source's end is gone, the target's stays open, and silent
)

func (c Cut) String() string { return [...]string{"none", "reset", "silence", "half-open"}[c] }

// Relay is the link between a source and a target: a move that is sent to its
// address goes on to the target. It knows the frames of the protocol, so that a
// test can act at a boundary between two of them, and it can fail as links do.
type Relay struct {
	listener *net.TCPListener
	host     *lab.Host // where it listens and dials; nil: this process's own network
	target   string
	group    sync.WaitGroup

	// passing is held for reading while bytes are passed on, and for writing
	// while a test acts: nothing moves meanwhile.
	passing sync.RWMutex

	mu    sync.Mutex // guards what follows
	pairs map[*pair]bool
	acts  map[Boundary]func()
	seen  []Boundary
	cut   Cut // of new connections; 0: none
	ended bool
}

// pair is one connection through the relay.
type pair struct {
	source, target *net.TCPConn
	silent         chan struct{} // closed: nothing is passed on any more
	once           sync.Once
}

// NewRelay listens on loopback for moves to target, tcp:HOST:PORT.
func NewRelay(target string) (*Relay, error) { return NewRelayAt(nil, target) }

// NewRelayAt is NewRelay on a host's loopback, for moves from there.
func NewRelayAt(host *lab.Host, target string) (*Relay, error) {
	r := &Relay{host: host, target: strings.TrimPrefix(target, "tcp:"), pairs: map[*pair]bool{}, acts: map[Boundary]func(){}}
	err := r.inside(func() (err error) {
		r.listener, err = net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("drive: relay: %w", err)
	}
	r.group.Add(1)
	go r.accept()
	return r, nil
}

// inside runs fn in the relay's network.
func (r *Relay) inside(fn func() error) error {
	if r.host == nil {
		return fn()
	}
	return r.host.Do(fn)
}

// Address is what the source is told as its target.
func (r *Relay) Address() string { return "tcp:" + r.listener.Addr().String() }

// Retarget sends connections from now on to another target, tcp:HOST:PORT.
func (r *Relay) Retarget(target string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = strings.TrimPrefix(target, "tcp:")
}

// At has act called once, when b is reached and before anything else is passed
// on. It may call Cut, and must not wait for the move.
func (r *Relay) At(b Boundary, act func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acts[b] = act
}

// Seen lists the boundaries that moves have come to, pings aside, in order.
func (r *Relay) Seen() []Boundary {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Boundary(nil), r.seen...)
}

// Cut fails the link: the connections that there are, and those to come, until
// Heal.
func (r *Relay) Cut(how Cut) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = how
	for p := range r.pairs {
		p.fail(how)
	}
}

// Heal lets new connections pass. Those that were cut stay so.
func (r *Relay) Heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = 0
}

// Close ends everything.
func (r *Relay) Close() error {
	err := r.listener.Close()
	r.mu.Lock()
	r.ended = true
	for p := range r.pairs {
		p.fail(Reset)
	}
	r.mu.Unlock()
	r.group.Wait()
	return err
}

func (r *Relay) accept() {
	defer r.group.Done()
	for {
		conn, err := r.listener.AcceptTCP()
		if err != nil {
			return
		}
		r.group.Add(1)
		go func() {
			defer r.group.Done()
			r.serve(conn)
		}()
	}
}

// serve passes one connection on until it ends on both sides.
func (r *Relay) serve(source *net.TCPConn) {
	p := &pair{source: source, silent: make(chan struct{})}
	if !r.add(p) {
		return
	}
	defer r.remove(p)
	hello, raw, err := readHello(source)
	if err != nil {
		return
	}
	r.mu.Lock()
	address := r.target
	r.mu.Unlock()
	select {
	case <-p.silent:
		return // whatever is said on it
	default:
	}
	var conn net.Conn
	err = r.inside(func() (err error) {
		conn, err = net.DialTimeout("tcp", address, 5*time.Second)
		return err
	})
	if err != nil {
		p.fail(Reset)
		return
	}
	r.mu.Lock()
	p.target = conn.(*net.TCPConn)
	if r.cut != 0 {
		p.fail(r.cut)
	}
	r.mu.Unlock()
	if _, err := conn.Write(raw); err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { r.pass(p, hello.Role, false, p.source, p.target) })
	both.Go(func() { r.pass(p, hello.Role, true, p.target, p.source) })
	both.Wait()
}

// add takes a connection in; false if it is of no use.
func (r *Relay) add(p *pair) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended || r.cut == Reset || r.cut == HalfOpen {
		p.fail(Reset)
		return false
	}
	if r.cut == Silence {
		p.fail(Silence)
	}
	r.pairs[p] = true
	return true
}

func (r *Relay) remove(p *pair) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-p.silent: // it stays open, and is closed in the end
		if !r.ended {
			return
		}
	default:
	}
	delete(r.pairs, p)
	p.source.Close()
	if p.target != nil {
		p.target.Close()
	}
}

// fail cuts one connection. The caller holds mu.
func (p *pair) fail(how Cut) {
	p.once.Do(func() { close(p.silent) })
	if how == Reset || how == HalfOpen {
		reset(p.source)
	}
	if how == Reset && p.target != nil {
		reset(p.target)
	}
}

func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	c.Close()
}

// pass passes one direction of a connection on, frame by frame.
func (r *Relay) pass(p *pair, role migration.Role, answer bool, from, to *net.TCPConn) {
	in := bufio.NewReader(from)
	count := map[byte]int{}
	for {
		head, kind, length, err := nextFrame(in)
		if err != nil {
			select {
			case <-p.silent:
			default:
				if errors.Is(err, io.EOF) {
					_ = to.CloseWrite()
				} else {
					reset(to)
				}
			}
			return
		}
		b := Boundary{Role: role, Type: kind, N: count[kind], Answer: answer}
		count[kind]++
		r.reach(b)
		if !r.forward(p, to, head, io.LimitReader(in, length)) {
			return
		}
		b.After = true
		r.reach(b)
	}
}

// forward passes one frame on; false if the connection is of no use any more.
func (r *Relay) forward(p *pair, to io.Writer, head []byte, rest io.Reader) bool {
	r.passing.RLock()
	defer r.passing.RUnlock()
	select {
	case <-p.silent:
		return false
	default:
	}
	if _, err := to.Write(head); err != nil {
		return false
	}
	_, err := io.Copy(to, rest)
	return err == nil
}

// reach calls who waits for a boundary.
func (r *Relay) reach(b Boundary) {
	if b.Type == FramePing {
		return
	}
	r.mu.Lock()
	r.seen = append(r.seen, b)
	act := r.acts[b]
	delete(r.acts, b)
	r.mu.Unlock()
	if act != nil {
		r.passing.Lock()
		defer r.passing.Unlock()
		act()
	}
}
