package migration

import (
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/migration/pack"
)

// MaxChannels bounds the connections that carry pages of a move side by side.
const MaxChannels = 16

// MaxLater is more than the connections of a move that come behind its first two.
const MaxLater = MaxChannels + 4

// channel is a connection that carries pages of the push beside bulk.
type channel struct {
	conn  net.Conn
	line  line // guarded by mu of channels
	out   *outlet
	pages *pageWriter
	zero  *zeroCopy // nil: it copies
}

// channels spreads the rounds of a push over bulk and the channels beside it. Each takes the next runs of pages when it has written those that it had, so
// a slow one takes fewer; and each ends every round that it carried some of, which the target waits for.
type channels struct {
	s *sender

	mu      sync.Mutex // guards all below
	zero    *zeroCopy  // of bulk; nil: it copies
	others  []*channel // in the order in which they were made
	live    int        // of these: the first so many carry rounds
	work    *work      // the round under way; nil: none that could be joined
	closed  bool       // what is heard of the connections does not matter any more
	knee    *knee      // nil: their number stays as it is
	dialing bool

	wg sync.WaitGroup // of those who watch and dial
}

// work is one round, as all channels see it.
type work struct {
	n     uint32
	final bool
	src   pageSource
	bulk  *pageWriter // whose cut is everybody's

	wg     sync.WaitGroup // of the channels beside bulk
	joined int            // how many they are

	mu     sync.Mutex // guards what follows, and src
	totals roundTotals
	err    error // the first
}

// Next implements pageSource for several goroutines.
func (w *work) Next(runs []guestmem.Run) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || w.bulk.cut.Load() && !w.final {
		return 0, nil
	}
	return w.src.Next(runs)
}

// note adds what one channel carried.
func (w *work) note(t roundTotals, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.totals.sum(t)
	if w.err == nil {
		w.err = err
	}
}

// round sends a round of about so many pages over as many channels as it is worth, and returns when all have written what they had.
func (c *channels) round(n uint32, final bool, src pageSource, pages uint64) (roundTotals, error) {
	w := &work{n: n, final: final, src: src, bulk: c.s.pages}
	c.mu.Lock()
	c.work = w
	for _, ch := range c.others[:min(uint64(c.live), pages/(batchBytes/guestmem.PageSize))] {
		c.begin(ch)
	}
	if c.knee != nil {
		c.knee.restart(time.Now())
	}
	c.mu.Unlock()
	c.s.pages.others = c.endJoining
	t, err := c.s.pages.round(n, final, w)
	c.endJoining()
	if w.note(t, err); err != nil {
		c.interrupt() // those that are stuck
	} else if c.zero != nil && !final {
		c.zero.settle()
	}
	w.wg.Wait()
	return w.totals, w.err
}

// begin has a channel carry some of the round under way. The caller holds mu.
func (c *channels) begin(ch *channel) {
	w := c.work
	w.joined++
	switch {
	case w.final:
		ch.out.through(ch.conn)
	case c.s.limit != nil:
		ch.out.through(c.s.limit.beside(ch.conn))
	case ch.zero != nil:
		ch.out.through(ch.zero)
	default:
		ch.out.through(ch.conn)
	}
	ch.pages.cut.Store(false)
	w.wg.Go(func() {
		t, err := ch.pages.round(w.n, w.final, w)
		if w.note(t, err); err != nil {
			c.interrupt()
			c.s.Bulk.SetDeadline(time.Unix(1, 0))
		} else if ch.zero != nil && !w.final {
			ch.zero.settle()
		}
	})
}

// endJoining lets no other channel carry any of the round under way, and returns how many do.
func (c *channels) endJoining() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.work
	if w == nil {
		return 0
	}
	c.work = nil
	return w.joined
}

// prepare makes the channels that were asked for, once the target is known to take them.
func (c *channels) prepare() error {
	c.s.mu.Lock()
	takes := c.s.branches
	c.s.mu.Unlock()
	c.mu.Lock()
	c.zero = c.zeroCopy(c.s.Bulk)
	c.mu.Unlock()
	if !takes || c.s.Dial == nil || c.s.Mode == Local || c.s.Mode == Postcopy || c.s.Mode == Remote {
		return nil
	}
	if c.s.Channels == 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.s.limit == nil {
			// More than there are processors only fight over them.
			c.knee = &knee{most: min(max(runtime.NumCPU(), 2), MaxChannels)}
			c.more() // two hosts' CPUs are seldom kept busy by one; and most moves are over before that could be measured
		}
		return nil
	}
	for range min(c.s.Channels, MaxChannels) - 1 {
		if err := c.open(); err != nil {
			return err
		}
	}
	return nil
}

// open makes one more channel, which carries some of the round under way if there is one.
func (c *channels) open() error {
	conn, err := c.s.dial(c.s.interrupted, RoleChannel)
	if err != nil {
		return linkError(err)
	}
	out := newOutlet(conn)
	ch := &channel{conn: conn, out: out, pages: newPageWriter(out), zero: c.zeroCopy(conn)}
	ch.pages.packer = c.s.packing.packer(false)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		ch.close()
		return nil
	}
	c.others = append(c.others, ch)
	c.live = len(c.others)
	l := c.s.link
	c.wg.Go(func() { c.watch(l, ch) })
	if c.work != nil {
		c.begin(ch)
	}
	return nil
}

// watch hears when a channel breaks, or that the target does not take it. Then the link is lost: what it carried is.
func (c *channels) watch(l *link, ch *channel) {
	in := newInlet(ch.conn, controlBuffer)
	h, err := in.next()
	switch {
	case err != nil:
		err = linkError(err)
	case h.Type == frameRefused:
		var p []byte
		if p, err = in.payload(h); err == nil {
			err = refused(h, p)
		}
	default:
		err = fmt.Errorf("%w: %v from a target on a channel", ErrProtocol, h.Type)
	}
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if !closed && c.s.interrupted.Err() == nil {
		c.s.lost(l, err)
	}
}

// adapt looks, where nobody has said how many channels there are to be, whether another one is worth its while.
func (c *channels) adapt() {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.knee == nil || c.dialing || c.work == nil || !c.knee.due(now) {
		return
	}
	switch c.knee.see(now, c.flowLocked().Acked, c.live+1) {
	case kneeGrow:
		c.more()
	case kneeShrink:
		c.live--
		c.others[c.live].pages.cut.Store(true)
	}
}

// more makes one more channel, meanwhile the others go on. The caller holds mu.
func (c *channels) more() {
	c.dialing = true
	c.wg.Go(func() {
		err := c.open()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.dialing = false
		if c.knee.restart(time.Now()); err != nil {
			c.knee = nil
		}
	})
}

// flow is that of all channels.
func (c *channels) flow() pack.Flow {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flowLocked()
}

// flowLocked is flow. The caller holds mu.
func (c *channels) flowLocked() pack.Flow {
	all := flowOf(c.s.Bulk, c.s.bulk)
	for _, ch := range c.others {
		f := flowOf(ch.conn, ch.out)
		all.Acked, all.Waiting = all.Acked+f.Acked, all.Waiting+f.Waiting
	}
	return all
}

// flowOf is that of one connection. Where the kernel does not say what was confirmed, it is what was written: a new connection's
// buffers take some of that at any speed.
func flowOf(conn net.Conn, out *outlet) pack.Flow {
	if info := tcpInfo(conn); info != nil {
		return pack.Flow{Acked: info.Bytes_acked, Waiting: uint64(info.Notsent_bytes)}
	}
	return pack.Flow{Acked: out.sent.Load()}
}

// interrupt ends what is being written beside bulk: the move is at its end.
func (c *channels) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.zero != nil {
		c.zero.interrupt()
	}
	for _, ch := range c.others {
		ch.conn.SetDeadline(time.Unix(1, 0))
		if ch.zero != nil {
			ch.zero.interrupt()
		}
	}
}

// close closes the connections beside bulk. No round is under way.
func (c *channels) close() {
	c.mu.Lock()
	c.closed = true
	for _, ch := range c.others {
		ch.close()
	}
	if c.zero != nil {
		c.zero.close()
	}
	c.mu.Unlock()
	c.wg.Wait()
}

func (ch *channel) close() {
	if ch.zero != nil {
		ch.zero.close()
	}
	ch.conn.Close()
}

// carried is what went over each channel, bulk first; its sum is that of the push.
func (c *channels) carried() []Channel {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := []Channel{c.zero.count(c.s.bulk)}
	for _, ch := range c.others {
		all = append(all, ch.zero.count(ch.out))
	}
	return all
}

// rate is how fast bytes are delivered over the channels beside bulk that are in use, in bytes a second.
func (c *channels) rate() (sum float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ch := range c.others[:c.live] {
		sum += ch.line.rate(ch.conn)
	}
	return sum
}

// path is how memory left, and if it was copied why.
func (c *channels) path() (path DataPath, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := []*zeroCopy{c.zero}
	for _, ch := range c.others {
		all = append(all, ch.zero)
	}
	for _, z := range all {
		if z == nil {
			continue
		}
		if z.sent.Load() > 0 || z.insist && z.registered.Load() > 0 {
			return PathZeroCopy, ""
		}
		if text := z.why.Load(); text != nil {
			why = *text
		}
	}
	return PathCopy, why
}

// zeroCopy is what writes to a connection without copying; nil: nothing does.
func (c *channels) zeroCopy(conn net.Conn) *zeroCopy {
	s := c.s
	if s.DataPath == PathCopy || s.limit != nil || s.Mode.atOnce() {
		return nil
	}
	return newZeroCopy(conn, s.Memory, s.DataPath == PathZeroCopy)
}

// sent is how much went over the channels beside bulk, in bytes.
func (c *channels) sent() (n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ch := range c.others {
		n += ch.out.sent.Load()
	}
	return n
}
