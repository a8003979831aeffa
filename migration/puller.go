package migration

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"sync"
	"time"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/internal/direct"
)

// puller fills the missing pages of a guest that has started: one thread hears
// of faults and asks for their pages, one takes the pages that were asked for,
// and one those that the source sends by itself. A nil puller has nothing to do.
type puller struct {
	r      *receiver
	memory *guestmem.Pull
	packed uint8 // flagPacked if pages may be
	wg     sync.WaitGroup

	mu     sync.Mutex // guards all below
	urgent net.Conn   // nil: the link is lost, or did not come yet
	out    *outlet    // of urgent
	asked  map[uint64]ask
	waits  waits
	vain   uint64 // pages that came although they were here
	closed bool
}

// preparePull makes the guest's memory ready to miss pages, if the move may need
// that. Where the mode can do without, a host that cannot is no error.
func (r *receiver) preparePull(built Built) (*puller, error) {
	var wanted, needed bool
	for _, m := range r.desc.Modes {
		wanted, needed = wanted || m.mayPull(), needed || m.mustPull()
	}
	if !wanted || r.Joined == nil || r.desc.Keep {
		return nil, nil
	}
	memory, err := built.Pull()
	switch {
	case err != nil && needed:
		return nil, err
	case err != nil:
		return nil, nil
	}
	p := &puller{r: r, memory: memory, asked: make(map[uint64]ask)}
	if r.unpacks() {
		p.packed = flagPacked
	}
	p.wg.Add(1)
	go p.serve()
	return p, nil
}

// beginPull says what is missing and begins to serve faults, or gives up what was
// prepared in vain. The caller holds mu.
func (r *receiver) beginPull() error {
	p := r.pull
	if p == nil {
		return nil
	}
	if !r.machine.pull {
		return p.memory.Close()
	}
	if err := p.memory.Miss(r.bulk.pages.missing); err != nil {
		return err
	}
	p.wg.Add(1)
	go p.watch()
	return nil
}

// serve asks for the pages that the guest waits for.
func (p *puller) serve() {
	defer p.wg.Done()
	direct.Thread()
	gpas := make([]uint64, maxWants)
	b := make([]byte, 0, maxWants*8)
	for {
		n, err := p.memory.Faults(gpas)
		if err != nil {
			if !errors.Is(err, guestmem.ErrClosed) && p.r.Broken != nil {
				p.r.Broken(err)
			}
			return // closed: nothing is missing, or the guest is dead
		}
		now := time.Now()
		b = b[:0]
		p.mu.Lock()
		out := p.out
		for _, gpa := range gpas[:n] {
			b = binary.LittleEndian.AppendUint64(b, gpa)
			if _, again := p.asked[gpa]; !again {
				p.asked[gpa] = ask{told: now}
			}
		}
		p.mu.Unlock()
		if out != nil && n > 0 {
			_ = out.frame(header{Type: frameWant}, b) // what is lost is asked for again after a rejoin
			p.wrote(gpas[:n])
		}
	}
}

// watch brings in that nothing is missing any more.
func (p *puller) watch() {
	defer p.wg.Done()
	select {
	case <-p.memory.Done():
		p.r.post(targetInput{event: gotPulled})
	case <-p.r.gone:
	}
}

// take fills the pages that come over a connection, until that ends. A source of an earlier
// vmm asks over the bulk connection, with flagLast, what is in place; ours asks its kernel.
func (p *puller) take(l *link, conn net.Conn, in *inlet) {
	var ack *outlet
	if in != nil {
		ack = newOutlet(conn)
	} else {
		in = newInlet(conn, bulkBuffer)
	}
	table := make([]byte, 0, maxRuns*runSize)
	var blocks unpacker
	defer blocks.close()
	taken := uint32(0) // bytes that the source was not told of
	for {
		h, err := in.next()
		if err == nil {
			table, err = p.fill(in, h, table, &blocks)
			taken += headerSize + h.Length
		}
		if err == nil && ack != nil && h.Flags&flagLast != 0 {
			err = ack.frame(header{Type: frameTaken, Count: taken}, nil)
			taken = 0
		}
		if err != nil {
			p.r.lost(l, bulkError(err))
			return
		}
	}
}

// fill puts the pages of one frame in place, once their sum is right: the guest
// sees them at once.
func (p *puller) fill(in *inlet, h header, table []byte, blocks *unpacker) ([]byte, error) {
	if h.Type != framePages || h.Flags&^(flagLast|p.packed) != flagSummed|flagFinal {
		return table, fmt.Errorf("%w: %v with flags %#x in a pull", ErrProtocol, h.Type, h.Flags)
	}
	table, err := in.runTable(h, table, p.r.desc.Layout)
	if err != nil {
		return table, err
	}
	size := int(h.Length) - len(table)
	if size > maxPullData {
		return table, fmt.Errorf("%w: %d bytes of pages in a pull", ErrProtocol, size)
	}
	if err := in.fill(size); err != nil {
		return table, err
	}
	data := in.take(size)
	if crc32.Checksum(data, castagnoli) != h.DataSum {
		return table, fmt.Errorf("%w: pages of frame %d", ErrCorrupt, h.Seq)
	}
	came := time.Now()
	for t := table; len(t) > 0; t = t[runSize:] {
		r := parseRun(t)
		if r.kind >= wirePacked {
			if blocks.take(r) {
				if err := p.fillBlock(blocks, data[:r.packed], came); err != nil {
					return table, err
				}
				data = data[r.packed:]
			}
			continue
		}
		var filled uint64
		var err error
		switch r.kind {
		case wireData:
			filled, err = p.memory.Fill(r.gpa, data[:r.size])
			data = data[r.size:]
		case wireZero:
			filled, err = p.memory.FillZero(r.gpa, r.size)
		default:
			return table, fmt.Errorf("%w: run kind %d in a pull", ErrProtocol, r.kind)
		}
		if err != nil {
			return table, &localError{err}
		}
		if err := p.note(r, filled, came); err != nil {
			return table, err
		}
	}
	return table, nil
}

// fillBlock puts a block of packed pages in place.
func (p *puller) fillBlock(blocks *unpacker, packed []byte, came time.Time) error {
	runs, pages, err := blocks.unpack(packed)
	if err != nil {
		return err
	}
	for _, r := range runs {
		filled, err := p.memory.Fill(r.gpa, pages[:r.size])
		if err != nil {
			return &localError{err}
		}
		if err := p.note(r, filled, came); err != nil {
			return err
		}
		pages = pages[r.size:]
	}
	return nil
}

// note counts pages that are in place, and how long they were waited for. A source
// that sends again and again what is here is wrong: it would keep a thread busy.
func (p *puller) note(r run, filled uint64, came time.Time) error {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.vain += r.size/guestmem.PageSize - filled; p.vain > p.r.desc.MemoryBytes/guestmem.PageSize+maxWants {
		return fmt.Errorf("%w: pages come that are here", ErrProtocol)
	}
	for gpa := r.gpa; gpa < r.gpa+r.size && len(p.asked) > 0; gpa += guestmem.PageSize {
		if a, ok := p.asked[gpa]; ok {
			delete(p.asked, gpa)
			p.waits.add(a, came, now)
		}
	}
	return nil
}

// wrote notes that pages have been asked for.
func (p *puller) wrote(gpas []uint64) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, gpa := range gpas {
		if a, ok := p.asked[gpa]; ok { // it may be here already
			a.wrote = now
			p.asked[gpa] = a
		}
	}
}

// overdue calls late once when a page was asked for in vain for as long as a peer may
// be silent, until the function that it returns is called: who restores a guest may be
// who else would notice.
func (p *puller) overdue(late func()) (stop func()) {
	done := make(chan struct{})
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		tick := time.NewTicker(pingEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			if since := p.oldest(); !since.IsZero() && time.Since(since) > pullSilence {
				late()
				return
			}
		}
	}()
	return func() { close(done) }
}

// oldest is when the page was asked for that is waited for the longest; zero: none.
func (p *puller) oldest() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	var first time.Time
	for _, a := range p.asked {
		if first.IsZero() || a.told.Before(first) {
			first = a.told
		}
	}
	return first
}

// join takes an urgent connection.
func (p *puller) join(l *link, conn net.Conn) {
	conn = swift(conn)
	p.mu.Lock()
	p.urgent, p.out = conn, newOutlet(conn)
	closed := p.closed
	p.mu.Unlock()
	if closed {
		conn.Close()
		return
	}
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		direct.Thread()
		p.take(l, conn, nil)
	}()
}

// hangUp closes the urgent connection.
func (p *puller) hangUp() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.urgent != nil {
		p.urgent.Close()
	}
	p.urgent, p.out = nil, nil
}

// faults says how long pages were waited for.
func (p *puller) faults() Faults {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waits.faults()
}

// sayMissing tells the source, over a new link, what is missing, and asks again
// for what the guest waits for.
func (p *puller) sayMissing(ctl *outlet) error {
	missing := p.memory.MissingRanges()
	for {
		n := min(len(missing), maxRuns)
		b := make([]byte, n*runSize)
		for i, r := range missing[:n] {
			run{gpa: r.GPA, size: r.Size, kind: wireMissing}.put(b[i*runSize:])
		}
		missing = missing[n:]
		h := header{Type: frameMissing}
		if len(missing) == 0 {
			h.Flags = flagLast
		}
		if err := ctl.frame(h, b); err != nil {
			return err
		}
		if len(missing) == 0 {
			return p.memory.Renew()
		}
	}
}

// close ends the service. The machine is at its end.
func (p *puller) close() {
	if p == nil {
		return
	}
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.hangUp()
	if err := p.memory.Close(); err != nil && !errors.Is(err, guestmem.ErrClosed) {
		p.r.fail(&localError{err})
	}
	p.wg.Wait()
}
