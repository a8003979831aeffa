package migration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/ferryvmm/ferry/guestmem"
)

const (
	// pausePatience bounds Guest.Pause where the downtime limit is shorter, so
	// that a busy host does not fail a move for a few milliseconds.
	pausePatience = 500 * time.Millisecond
	// askEvery is the least time between two questions after a commit.
	askEvery = 500 * time.Millisecond
	// askPatience bounds one question.
	askPatience = 2 * time.Second
	// reasonPatience is how long a broken bulk connection waits for its reason.
	reasonPatience = 200 * time.Millisecond
	// restTime is the time between rounds that cannot lead to a stop.
	restTime = 50 * time.Millisecond
	// reportEvery is the least time between two reports within a round.
	reportEvery = 100 * time.Millisecond
)

// do executes one long action and posts its outcome.
func (s *sender) do(ctx context.Context, a sourceAction) {
	in, err := s.execute(ctx, a)
	switch {
	case err == nil && in.event == 0:
		return // doResume and the like have no outcome
	case err == nil:
	case a == doPause:
		in = sourceInput{event: onPauseFailed, err: fmt.Errorf("pause: %w", err)}
	case errors.Is(err, ErrLinkLost):
		s.hearWhy()
		in = sourceInput{event: onLinkLost, err: err}
	default:
		in = sourceInput{event: onFailed, err: err}
	}
	s.post(in)
	if err == nil && s.link == nil {
		s.respond(in.event)
	}
}

// hearWhy gives the target's reason, which comes on the other connection, a
// chance to be read before a connection's end is taken for the reason.
func (s *sender) hearWhy() {
	after(s.interrupted, reasonPatience)
}

// execute does one long action. Its outcome is an event other than onStart; 0
// if there is none.
func (s *sender) execute(ctx context.Context, a sourceAction) (sourceInput, error) {
	switch a {
	case doReserve:
		err := s.reserve()
		if s.link == nil {
			return sourceInput{event: onReserved}, err // a file takes everything
		}
		return sourceInput{}, err
	case doOffer:
		s.agree()
		if err := s.channels.prepare(); err != nil {
			return sourceInput{}, err
		}
		return sourceInput{event: onOffered}, s.offer()
	case doCount:
		return s.count()
	case doPush:
		s.showPush()
		return s.push(onPushed, false, s.tracker)
	case doPause:
		s.report(PhaseStop)
		return sourceInput{event: onPaused}, s.pause()
	case doWait:
		return s.wait()
	case doSave:
		return sourceInput{event: onSaved}, s.save()
	case doLastCount:
		if s.tracker == nil && (s.Mode.mustPull() || s.Mode == Local) {
			return sourceInput{event: onLastCounted}, nil // all that is data is left, or handed over
		}
		pages, err := s.harvest()
		return sourceInput{event: onLastCounted, pages: pages}, err
	case doFinish:
		if err := s.ctl.frame(header{Type: frameState}, s.state); err != nil {
			return sourceInput{}, linkError(err)
		}
		if s.Mode == Local {
			return s.push(onFinished, true, &extentSource{})
		}
		return s.push(onFinished, true, s.tracker)
	case doSwitch:
		if err := s.ctl.frame(header{Type: frameState}, s.state); err != nil {
			return sourceInput{}, linkError(err)
		}
		return s.switchOver()
	case doServe:
		s.serve()
		return sourceInput{}, nil
	case doFetch:
		s.fetched = true
		s.serve()
		return sourceInput{}, nil
	case doPart:
		s.part()
		return sourceInput{}, nil
	case doRejoinAgain:
		after(ctx, rejoinEvery)
		return s.rejoin(ctx), nil
	case doRejoin:
		return s.rejoin(ctx), nil
	case doDrain:
		s.drain()
		return sourceInput{}, nil
	case doResume:
		s.forwarder.stop() // its copies are the guest's
		return sourceInput{}, s.resume()
	case doUntrack:
		return sourceInput{}, s.untrack()
	case doSeal:
		return sourceInput{event: onSealed}, s.seal()
	case doAsk:
		return s.ask(ctx)
	case doAskAgain:
		after(ctx, askEvery)
		return s.ask(ctx)
	}
	return sourceInput{}, fmt.Errorf("%w: action %v", ErrProtocol, a)
}

// after waits for some time, or until ctx is done.
func after(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// reserve says hello on both connections and asks for the reservation.
func (s *sender) reserve() error {
	s.report(PhaseReserve)
	var err error
	if s.Description.ResidentBytes, err = s.Memory.DataBytes(); err != nil {
		return err
	}
	s.Description.Layout = s.Memory.Layout()
	s.Description.MemoryBytes = s.Memory.Size()
	if s.link != nil {
		h := Hello{VersionMin: VersionMin, VersionMax: VersionMax, Move: s.Move, Epoch: s.Epoch}
		h.Role = RoleControl
		if err := s.ctl.hello(h); err != nil {
			return linkError(err)
		}
		h.Role = RoleBulk
		if err := s.bulk.hello(h); err != nil {
			return linkError(err)
		}
		if s.Mode.mayPull() && s.Dial != nil {
			conn, err := s.dial(s.interrupted, RoleUrgent)
			if err != nil {
				return err
			}
			s.mu.Lock()
			s.urgent, s.urgentOut = conn, newOutlet(conn)
			s.mu.Unlock()
		}
	}
	if s.Mode == Local {
		s.courier.hand(s.Description.Handed)
	}
	if err := s.ctl.message(header{Type: frameReserve}, s.Description.message()); err != nil {
		return linkError(err)
	}
	if s.link != nil {
		s.link.keepAlive()
	}
	return nil
}

// agree settles how pages are packed, once it is known what the target unpacks.
func (s *sender) agree() {
	if s.link == nil || s.Mode == Local {
		return
	}
	s.mu.Lock()
	names := s.codecs
	s.mu.Unlock()
	s.packing = newPacking(s.Compress, names, s.Move, s.Memory.Size(), s.Images, packingLink{s.linkRate, s.channels.flow, float64(s.Bandwidth) / 8})
	s.pages.packer = s.packing.packer(false)
}

// offer sends the blobs that the target wants.
func (s *sender) offer() error {
	buf := make([]byte, maxBlobData)
	for i, b := range s.Description.Blobs {
		s.mu.Lock()
		wanted := s.wanted[b.ID]
		s.mu.Unlock()
		if !wanted {
			continue
		}
		from := s.Blobs[b.ID]
		if from == nil {
			return fmt.Errorf("blob %q: nothing to read it from", b.ID)
		}
		r := io.NewSectionReader(from, 0, int64(b.Size))
		for left := b.Size; ; {
			n, err := io.ReadFull(r, buf[:min(left, maxBlobData)])
			if err != nil {
				return fmt.Errorf("blob %q: %w", b.ID, err)
			}
			left -= uint64(n)
			h := header{Type: frameBlob, Count: uint32(i)}
			if left == 0 {
				h.Flags = flagLast
			}
			if err := s.bulk.frame(h, buf[:n]); err != nil {
				return linkError(err)
			}
			if left == 0 {
				break
			}
		}
	}
	return nil
}

// harvest counts what is dirty; the first call starts the log.
func (s *sender) harvest() (uint64, error) {
	first := s.tracker == nil
	if first {
		t, err := s.Memory.Track()
		if err != nil {
			return 0, err
		}
		s.tracker = t
	}
	pages, err := s.tracker.Harvest()
	if err == nil && first && s.watches() {
		err = s.tracker.Watch()
	}
	return pages, err
}

// count ends a round with what got dirty in it.
func (s *sender) count() (sourceInput, error) {
	s.rest()
	pages, err := s.harvest()
	in := sourceInput{event: onCounted, pages: pages}
	if err == nil {
		in.slower, err = s.slowDown(pages)
	}
	if s.SaveCost != nil {
		in.save = s.SaveCost()
	}
	if s.link != nil {
		in.roundTrip = s.link.roundTrip()
	}
	in.diverging = s.diverging
	if s.limit != nil {
		in.line = lineRate(s.Bulk)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.machine.round > 0 {
		s.round.DirtiedPages = pages
		s.rounds.add(s.round)
	}
	return in, err
}

// rest waits where the fixed costs alone exceed the limit: rounds without a
// pause would only slow the guest. What may change is the guest's quiet.
func (s *sender) rest() {
	s.mu.Lock()
	vain := s.machine.round > 0 && s.machine.forecast.fixed() > s.machine.forecast.limit
	s.mu.Unlock()
	if !vain {
		return
	}
	after(s.interrupted, restTime)
}

// push sends a round.
func (s *sender) push(event sourceEvent, final bool, src pageSource) (sourceInput, error) {
	s.mu.Lock()
	n := uint32(s.machine.round)
	s.round = Round{}
	s.times.round = time.Now()
	s.pages.cut.Store(s.machine.overdue)
	s.mu.Unlock()
	s.pages.after = nil
	if !final {
		s.pages.after = s.inPush
	}
	switch {
	case s.link == nil:
	case final: // without a limit, every millisecond of it is downtime
		s.bulk.through(s.Bulk)
	case s.limit != nil:
		s.bulk.through(s.limit)
	case s.channels.zero != nil:
		s.bulk.through(s.channels.zero)
	}
	pages := uint64(0) // alone: what is left is to be in order
	if s.pages.leave == nil && s.tracker != nil {
		pages = s.tracker.Pending()
	}
	t, err := s.channels.round(n, final, src, pages)
	if err != nil {
		var broken *net.OpError
		if s.interrupted.Err() != nil || errors.As(err, &broken) {
			err = linkError(err) // the deadline that interrupted it, or the connection; not the memory
		}
		return sourceInput{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.round.Pages, s.round.Bytes = t.pages(), t.payload()
	s.counted.DataPages += t.DataPages
	s.counted.ZeroPages += t.ZeroPages
	s.counted.HolePages += t.HolePages
	return sourceInput{event: event, pages: t.pages(), bytes: t.bytes()}, nil
}

// switchOver sends the last round without its data, which is left for the target
// to pull, and begins to answer: restoring may touch memory.
func (s *sender) switchOver() (sourceInput, error) {
	s.owed = newOwed(s.Memory.Layout())
	s.pages.leave = func(gpa, size uint64) { _ = s.owed.add(gpa, size) } // what is memory here is in its layout
	var src pageSource = s.tracker
	if s.tracker == nil {
		extents, err := s.Memory.Extents()
		if err != nil {
			return sourceInput{}, err
		}
		src = &extentSource{left: extents}
	}
	in, err := s.push(onFinished, true, src)
	if in.pages = uint64(s.owed.left.Load()); err == nil && in.pages > 0 {
		s.server = s.newServer()
	}
	return in, err
}

// extentSource yields all that is data.
type extentSource struct{ left []guestmem.Range }

// Next implements pageSource. The runs have no bytes: they are left.
func (e *extentSource) Next(runs []guestmem.Run) (int, error) {
	n := min(len(runs), len(e.left))
	for i, r := range e.left[:n] {
		runs[i] = guestmem.Run{GPA: r.GPA, Size: r.Size}
	}
	e.left = e.left[n:]
	return n, nil
}

// serve sends what is left by itself, unless it is to stay here.
func (s *sender) serve() {
	if s.server == nil { // after a rejoin: what the target says next, it says to a source that serves
		s.readFrom(s.link)
		s.server = s.newServer()
	}
	s.link.setSilence(pullSilence)
	if s.Mode == Remote && !s.fetched {
		s.report(PhaseServe)
		return
	}
	s.report(PhasePull)
	s.server.push()
}

// inPush is called after each frame of a round: it reports now and then, and
// looks whether the guest writes faster than the link takes.
func (s *sender) inPush() {
	s.showPush()
	s.sample()
	s.channels.adapt()
}

// showPush reports from within a round, now and then.
func (s *sender) showPush() {
	if s.Progress != nil && time.Since(s.shown) >= reportEvery {
		s.report(PhasePush)
	}
}

// pause stops the guest. From here on the peer must not be silent for long,
// unless the move waits.
func (s *sender) pause() error {
	patience := max(s.DowntimeLimit, pausePatience)
	ctx, cancel := context.WithTimeout(s.interrupted, patience)
	defer cancel()
	if s.link != nil && s.Continue == nil {
		s.link.setSilence(switchSilence)
	}
	s.expect()
	begin := time.Now()
	err := s.Guest.Pause(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times.kicked, s.times.paused = begin, time.Now()
	return err
}

// wait ends when the move may go on, or when it ends. The time counts as
// pausing: the guest stands still.
func (s *sender) wait() (sourceInput, error) {
	s.report(PhaseWait)
	select {
	case <-s.interrupted.Done():
		return sourceInput{}, nil
	case <-s.Continue:
	}
	s.report(PhaseStop)
	if s.link != nil {
		s.link.setSilence(switchSilence)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times.paused = time.Now()
	return sourceInput{event: onContinue}, nil
}

// expect notes what is forecast for a guest that is about to be stopped.
func (s *sender) expect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &s.machine.forecast
	s.expected = Forecast{BandwidthBitsPerS: 8 * f.bandwidth()}
	if !s.machine.pull && f.bandwidth() > 0 {
		s.expected.DowntimeMS = milliseconds(f.downtime(f.last))
	}
}

// save takes the state, encoded.
func (s *sender) save() error {
	sections, err := s.Guest.Save()
	if err != nil {
		return fmt.Errorf("save: %w", err)
	}
	if s.state, err = EncodeState(sections); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times.saved = time.Now()
	return nil
}

// resume lets the guest run on here.
func (s *sender) resume() error {
	err := s.Guest.Resume()
	if s.link != nil {
		s.link.setSilence(pushSilence)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times.resumed = time.Now()
	if err != nil {
		s.times.resumeErr = fmt.Errorf("resume: %w", err)
	}
	return nil // there is nobody who could do better
}

// drain has the rest of what comes for the guest here forwarded, and sees to it that the target's word on that
// is not waited for in vain.
func (s *sender) drain() {
	s.forwarder.start()
	time.AfterFunc(s.forwarder.patience()+switchSilence, func() {
		s.post(sourceInput{event: onUndelivered})
	})
	s.mu.Lock()
	all := s.machine.state == sourceDraining
	s.mu.Unlock()
	if all {
		s.report(PhaseRelease)
	}
}

// untrack stops the log; no dirty page is forgotten.
func (s *sender) untrack() error {
	if s.tracker == nil {
		return nil
	}
	err := s.tracker.Close()
	s.tracker = nil
	return err
}

// ask asks what became of the commit.
func (s *sender) ask(ctx context.Context) (sourceInput, error) {
	s.report(PhaseInDoubt)
	if s.Ask == nil {
		return sourceInput{}, nil // until ctx is done
	}
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	answer, err := s.Ask(ctx)
	if err != nil {
		answer = Unknown
	}
	switch answer {
	case Started:
		return sourceInput{event: onStarted}, nil
	case NotStarted:
		return sourceInput{event: onUnstarted}, nil
	case Lost:
		return sourceInput{event: onLost}, nil
	}
	return sourceInput{event: onUnknown}, nil
}
