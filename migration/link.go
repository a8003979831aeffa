package migration

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// pushSilence is how long a peer may be silent while the guest runs.
	pushSilence = 5 * time.Second
	// switchSilence is how long it may be silent while the guest is paused.
	switchSilence = time.Second
	// pingEvery keeps a peer that has nothing else to say from being silent.
	pingEvery = 250 * time.Millisecond
	// lingerTime bounds the wait for the peer to read our last frame.
	lingerTime = time.Second
)

// link is the control connection of a move. One goroutine reads it.
type link struct {
	conn net.Conn
	in   *inlet
	out  *outlet

	mu      sync.Mutex // guards silence and last, and orders the deadlines set by them
	silence time.Duration
	last    time.Time // no reading after it; zero: no end

	start time.Time
	best  atomic.Int64 // shortest round trip seen in ns, 0: none

	stop     chan struct{} // closed: no more pings
	stopping sync.Once
	wg       sync.WaitGroup
}

func newLink(conn net.Conn) *link {
	l := &link{conn: conn, silence: pushSilence, start: time.Now(), stop: make(chan struct{})}
	l.out = newOutlet(l)
	l.in = newInlet(l, controlBuffer)
	return l
}

// Read reads from the connection with the deadline that the silence allows.
func (l *link) Read(p []byte) (int, error) {
	l.setSilence(0)
	return l.conn.Read(p)
}

// writePiece is what a peer must take at once in the time that it may be silent,
// in bytes.
const writePiece = 64 << 10

// Write writes to the connection. A peer that takes nothing for as long as it may
// be silent is lost: what it says meanwhile keeps the link alive, not the move.
func (l *link) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		l.mu.Lock()
		l.conn.SetWriteDeadline(time.Now().Add(l.silence))
		l.mu.Unlock()
		n, err := l.conn.Write(p[:min(len(p), writePiece)])
		written += n
		if err != nil {
			return written, err
		}
		p = p[n:]
	}
	return written, nil
}

// setSilence changes how long the peer may be silent, from now on; 0 changes nothing.
func (l *link) setSilence(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d > 0 {
		l.silence = d
	}
	at := time.Now().Add(l.silence)
	if !l.last.IsZero() && l.last.Before(at) {
		at = l.last
	}
	l.conn.SetReadDeadline(at)
}

// endReading makes reads fail from that time on.
func (l *link) endReading(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = at
	l.conn.SetReadDeadline(at)
}

// keepAlive begins to ping.
func (l *link) keepAlive() {
	l.wg.Add(1)
	go func() {
		defer l.wg.Done()
		t := time.NewTicker(pingEvery)
		defer t.Stop()
		for {
			l.ping(0, uint32(time.Since(l.start).Microseconds()))
			select {
			case <-l.stop:
				return
			case <-t.C:
			}
		}
	}()
}

// ping writes a ping. That it failed is learnt from reading.
func (l *link) ping(flags uint8, stamp uint32) {
	_ = l.out.frame(header{Type: framePing, Flags: flags, Count: stamp}, nil)
}

// roundTrip is the shortest round trip seen so far, 0 if none.
func (l *link) roundTrip() time.Duration { return time.Duration(l.best.Load()) }

// next returns the next frame that is no ping. Errors are ErrLinkLost or what
// the codec says.
func (l *link) next() (header, []byte, error) {
	for {
		h, err := l.in.next()
		if err != nil {
			return h, nil, linkError(err)
		}
		if h.Type == framePages || h.Type == frameRoundEnd || h.Type == frameBlob || h.Type == frameEnd || h.Type == frameWant || h.Type == frameTaken {
			return h, nil, fmt.Errorf("%w: %v on the control connection", ErrProtocol, h.Type)
		}
		p, err := l.in.payload(h)
		if err != nil {
			return h, nil, linkError(err)
		}
		switch {
		case h.Type != framePing:
			return h, p, nil
		case h.Flags&flagReply == 0:
			l.ping(flagReply, h.Count)
		default:
			// The stamp is cut to 32 bits, and so is the difference: 71 minutes.
			d := int64(uint32(time.Since(l.start).Microseconds())-h.Count+1) * 1000
			if best := l.best.Load(); best == 0 || d < best {
				l.best.Store(d)
			}
		}
	}
}

// close ends the pings and the connection. To be read, what was said last must
// not be cut off by a reset: so first only our side is closed, and read, by
// whoever reads, until the peer closes its own or lingerTime is over.
func (l *link) close(reader <-chan struct{}) {
	l.quiet()
	l.wg.Wait()
	l.endReading(time.Now().Add(lingerTime))
	if c, ok := l.conn.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
		<-reader
	}
	l.conn.Close()
	<-reader
}

// drop ends the pings and the connection, which is broken. reader, if there is
// one, is closed when nobody reads any more.
func (l *link) drop(reader <-chan struct{}) {
	l.abandon()
	l.wg.Wait()
	if reader != nil {
		<-reader
	}
}

// abandon is drop for a goroutine that must not wait: whoever reads finds out.
func (l *link) abandon() {
	l.quiet()
	l.conn.Close()
}

// quiet ends the pings.
func (l *link) quiet() { l.stopping.Do(func() { close(l.stop) }) }

// drain reads until the connection ends.
func (l *link) drain() { _, _ = io.Copy(io.Discard, l.conn) }

// linkError makes what a connection says an ErrLinkLost, and keeps what the codec says.
func linkError(err error) error {
	switch {
	case errors.Is(err, ErrProtocol), errors.Is(err, ErrNotFerry), errors.Is(err, ErrCorrupt), errors.Is(err, ErrLinkLost):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: the peer was silent", ErrLinkLost)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, ErrTruncated):
		return fmt.Errorf("%w: the peer closed it", ErrLinkLost)
	}
	return fmt.Errorf("%w: %w", ErrLinkLost, err)
}

// codecError says whether the peer, not the connection, is to blame.
func codecError(err error) bool { return !errors.Is(err, ErrLinkLost) }
