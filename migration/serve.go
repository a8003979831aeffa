package migration

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/internal/direct"
)

// server sends what a target has still to get: what its guest waits for at
// once, over the urgent connection, and everything else over the bulk
// connection, beginning behind the page that was waited for last. It lives as
// long as its connections.
type server struct {
	s            *sender
	link         *link
	bulk, urgent net.Conn
	window       *window
	cursor       atomic.Uint64 // address from which the push goes on
	wg           sync.WaitGroup
	done         chan struct{} // closed when the server is
	pushing      bool          // used by run's goroutine only
}

// newServer begins to answer what the target asks for.
func (s *sender) newServer() *server {
	v := &server{s: s, link: s.link, bulk: s.Bulk, urgent: s.urgent, done: make(chan struct{})}
	if s.Bandwidth > 0 {
		s.bulk.through(newLimiter(s.Bulk, s.Bandwidth, v.done))
	}
	v.window = newWindow(v.bulk, s.bandwidth())
	v.wg.Add(2)
	go v.answer()
	go v.listen()
	return v
}

// bandwidth is that of the push in bytes a second, 0 if it is unknown.
func (s *sender) bandwidth() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.machine.forecast.bandwidth()
}

// close ends the server. Its connections must be closed, or about to be.
func (v *server) close() {
	close(v.done)
	v.bulk.Close()
	v.urgent.Close()
	v.wg.Wait()
}

// fail brings in that a connection broke, or that the target is wrong.
func (v *server) fail(err error) {
	v.s.lost(v.link, linkError(err))
}

// answer sends the pages that the target's guest waits for.
func (v *server) answer() {
	defer v.wg.Done()
	direct.Thread()
	wanted, bound := uint64(0), 4*v.s.Memory.Size()/guestmem.PageSize
	in := newInlet(v.urgent, controlBuffer)
	out := newPieceWriter(v.s.urgentOut, v.s.Memory, v.s.lastRound())
	for {
		h, err := in.next()
		if err == nil && h.Type != frameWant {
			err = fmt.Errorf("%w: %v on the urgent connection", ErrProtocol, h.Type)
		}
		var p []byte
		if err == nil {
			p, err = in.payload(h)
		}
		for err == nil && len(p) >= 8 {
			gpa := binary.LittleEndian.Uint64(p)
			p = p[8:]
			if gpa&pageMask != 0 || !within(v.s.owed.layout, gpa, guestmem.PageSize) {
				err = fmt.Errorf("%w: a page at %#x is wanted", ErrProtocol, gpa)
			} else if wanted++; wanted > bound { // this thread is not to be kept busy
				err = fmt.Errorf("%w: pages are wanted again and again", ErrProtocol)
			} else if v.s.owed.claim(gpa) {
				v.window.hurry()
				// Alone: the next one is not to wait for it. Counted first: with the last page the move is over.
				err = out.add(gpa, guestmem.PageSize)
				v.s.urgentPages.Add(1)
				v.s.tally(&out.counts)
				if err == nil {
					err = out.send()
				}
				v.cursor.Store(gpa + guestmem.PageSize)
			}
		}
		if err != nil {
			v.fail(err)
			return
		}
	}
}

// push sends everything that is owed, in the background.
func (v *server) push() {
	if v.pushing {
		return
	}
	v.pushing = true
	v.wg.Add(1)
	go func() {
		defer v.wg.Done()
		if err := v.pushAll(); err != nil {
			v.fail(err)
		}
	}()
}

func (v *server) pushAll() error {
	out := newPieceWriter(v.s.bulk, v.s.Memory, v.s.lastRound())
	out.packer = v.s.packing.packer(true)
	shown := time.Now()
	for {
		v.window.adjust(v.link.roundTrip)
		piece := v.window.piece()
		gathered := uint64(0)
		for gathered < piece {
			from := v.cursor.Load()
			gpa, size := v.s.owed.claimRun(from, piece-gathered)
			if size == 0 {
				break
			}
			v.cursor.CompareAndSwap(from, gpa+size) // unless the guest has moved it meanwhile
			if err := out.add(gpa, size); err != nil {
				return err
			}
			gathered += size
		}
		if gathered == 0 {
			return nil
		}
		out.packer.finish(out)
		v.s.pushedPages.Add(gathered / guestmem.PageSize)
		v.s.tally(&out.counts)
		if err := out.send(); err != nil {
			return err
		}
		if time.Since(shown) >= reportEvery {
			shown = time.Now()
			v.s.report(PhasePull)
		}
	}
}

// listen waits for the end of the bulk connection, over which nothing comes.
func (v *server) listen() {
	defer v.wg.Done()
	h, err := newInlet(v.bulk, controlBuffer).next()
	if err == nil {
		err = fmt.Errorf("%w: %v from a target on the bulk connection", ErrProtocol, h.Type)
	}
	v.fail(err)
}

// tally adds pages that were pulled, and forgets them.
func (s *sender) tally(t *roundTotals) {
	s.pulledData.Add(t.DataPages)
	s.pulledZero.Add(t.ZeroPages)
	s.pulledSaved.Add(t.Saved)
	*t = roundTotals{}
}

// lastRound is the number of the last round of the push.
func (s *sender) lastRound() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint32(s.machine.round)
}

// lost brings in that a link broke, unless there is another one already.
func (s *sender) lost(l *link, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link != l {
		return
	}
	event := onLinkLost
	if codecError(err) && !errors.Is(err, net.ErrClosed) {
		event = onFailed
	}
	s.postLocked(sourceInput{event: event, err: err})
}
