package migration

import (
	"time"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/internal/sealed"
)

// switchover is when the steps of a stop were, by the source's clock, and what
// the target says of its own.
type switchover struct {
	reserved, round, kicked, paused, saved, prepared, committing, running, resumed, pulled time.Time

	restore, record, starting time.Duration
	resumeErr                 error
}

// split divides the downtime. The parts add up to it.
func (t switchover) split() (time.Duration, Downtime) {
	end := t.running
	var d Downtime
	if end.IsZero() { // a copy, or a move that fell back
		end = t.resumed
		d.ResumeMS = milliseconds(end.Sub(t.prepared))
	} else {
		answer := end.Sub(t.committing)
		// Half of what the answer took beyond the target's own work was its way back.
		resume := t.starting + max(answer-t.record-t.starting, 0)/2
		d.ResumeMS = milliseconds(resume)
		d.CommitMS = milliseconds(end.Sub(t.prepared) - resume)
	}
	restore := min(t.restore, t.prepared.Sub(t.saved))
	d.PauseMS = milliseconds(t.paused.Sub(t.kicked))
	d.StateMS = milliseconds(t.saved.Sub(t.paused) + restore)
	d.PagesMS = milliseconds(t.prepared.Sub(t.saved) - restore)
	return end.Sub(t.kicked), d
}

// keptRounds bounds the rounds of a Result: a move may go on for ever.
const keptRounds = 512

// rounds keeps the first and the latest rounds.
type rounds struct {
	all   []Round
	bytes uint64
}

func (r *rounds) add(one Round) {
	if one.MS > 0 {
		one.SentBitsPerS = float64(one.Bytes) * 8000 / one.MS
		one.DirtyBitsPerS = float64(one.DirtiedPages*guestmem.PageSize) * 8000 / one.MS
	}
	if len(r.all) == keptRounds {
		copy(r.all[keptRounds/2:], r.all[keptRounds/2+1:])
		r.all = r.all[:keptRounds-1]
	}
	r.all = append(r.all, one)
	r.bytes += one.Bytes
}

// last is the latest round, zero if there is none.
func (r *rounds) last() Round {
	if len(r.all) == 0 {
		return Round{}
	}
	return r.all[len(r.all)-1]
}

// result says how the move went.
func (s *sender) result() (Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.times.prepared.IsZero() {
		s.lastRoundEnded()
	}
	return s.sum(s.machine.outcome)
}

// lastRoundEnded notes the last round, once. The caller holds mu.
func (s *sender) lastRoundEnded() {
	if s.summed || s.Mode == Local { // whose round is empty
		return
	}
	s.summed = true
	s.round.MS = milliseconds(s.times.prepared.Sub(s.times.round) - s.times.restore)
	s.rounds.add(s.round)
}

// serving is the result of a move whose guest runs at the target, with its memory here until it is fetched.
func (s *sender) serving() *Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastRoundEnded()
	r, _ := s.sum(OutcomeCompleted)
	return &r
}

// sum makes a result of what is known. The caller holds mu.
func (s *sender) sum(o Outcome) (Result, error) {
	m := &s.machine
	r := Result{
		Outcome:       o,
		ModeRequested: string(s.Mode),
		Mode:          string(s.done()),
		MemoryBytes:   s.Description.MemoryBytes,
		ResidentBytes: s.Description.ResidentBytes,
		SentBytes:     s.sentBytes(),
		TotalMS:       milliseconds(time.Since(s.Accepted)),
	}
	if !s.times.prepared.IsZero() {
		down, parts := s.times.split()
		if o == OutcomeCompleted {
			r.DowntimeMS, r.Downtime = milliseconds(down), parts
		}
	}
	r.UrgentPages = s.urgentPages.Load()
	r.PulledPages = r.UrgentPages + s.pushedPages.Load()
	r.Rounds, r.PageBytes = s.rounds.all, s.rounds.bytes+r.PulledPages*guestmem.PageSize-s.pulledSaved.Load()
	r.Faults, r.Rejoins = s.faults, s.rejoins
	r.Network = s.forwarded()
	r.Phases, r.Pages, r.Forecast = s.phases(), s.pageCounts(), s.expected
	r.Throttle = s.throttled
	r.Compress = s.compressed(r.Pages.Data)
	if s.link != nil && s.Mode != Local {
		r.Channels = s.channels.carried()
		r.Path, r.PathReason = s.channels.path()
		if c, ok := s.Bulk.(*sealed.Conn); ok {
			r.TLS, r.PathReason = c.Suite(), "TLS encrypts memory into a copy of it: nothing is sent from where it is"
		}
	}
	err := m.cause
	if err == nil {
		r.TargetName = s.target
	} else {
		r.Reason = err.Error()
	}
	if s.times.resumeErr != nil {
		// The guest is here and does not run: worse than why it had to.
		r.Outcome, r.Reason = OutcomeFailed, s.times.resumeErr.Error()
		err = s.times.resumeErr
	}
	return r, err
}

// forwarded counts what was captured. The caller holds mu.
func (s *sender) forwarded() Forwarded {
	if s.forwarder == nil {
		return Forwarded{}
	}
	return Forwarded{
		Frames: s.forwarder.sent.Load(), Dropped: s.forwarder.dropped.Load() + s.delivered.Dropped, Late: s.delivered.Late,
	}
}

// phases is how long each part took. The caller holds mu.
func (s *sender) phases() Phases {
	span := func(from, to time.Time) float64 {
		if from.IsZero() || to.IsZero() {
			return 0
		}
		return milliseconds(to.Sub(from))
	}
	t := &s.times
	p := Phases{ReserveMS: span(s.Accepted, t.reserved), PushMS: span(t.reserved, t.kicked), StopMS: span(t.kicked, t.running)}
	if s.machine.pull {
		p.PullMS = span(t.running, t.pulled)
	}
	return p
}

// pageCounts is what was sent. The caller holds mu.
func (s *sender) pageCounts() Pages {
	p := Pages{
		Data: s.counted.DataPages + s.pulledData.Load(), Zero: s.counted.ZeroPages + s.pulledZero.Load(), Hole: s.counted.HolePages,
	}
	if all, once := p.Data+p.Zero, s.Description.ResidentBytes/guestmem.PageSize; all > once {
		p.Duplicate = all - once
	}
	return p
}

// done is the mode of what was done. The caller holds mu.
func (s *sender) done() Mode {
	switch {
	case s.Mode == Remote, s.Mode == StopCopy, s.Mode == Local:
		return s.Mode
	case !s.machine.pull && (s.Mode == Auto || s.machine.outcome == OutcomeCompleted):
		return Precopy
	case s.machine.pull && s.machine.round > 0:
		return Hybrid
	case s.machine.pull:
		return Postcopy
	}
	return s.Mode
}

// sentBytes is what was written to connections, or to the stream. The caller holds mu.
func (s *sender) sentBytes() uint64 {
	n := s.sentBefore + s.ctl.sent.Load()
	if s.bulk != s.ctl {
		n += s.bulk.sent.Load() + s.channels.sent()
	}
	if s.urgentOut != nil {
		n += s.urgentOut.sent.Load()
	}
	return n
}

// report tells how the move is going.
func (s *sender) report(phase Phase) {
	if s.Progress == nil {
		return
	}
	var serving *Result
	if phase == PhaseServe {
		serving = s.serving()
	}
	s.mu.Lock()
	f := &s.machine.forecast
	p := Progress{
		Phase:             phase,
		Round:             s.machine.round,
		SentBytes:         s.sentBytes(),
		BandwidthBitsPerS: 8 * f.bandwidth(),
		ElapsedMS:         milliseconds(time.Since(s.Accepted)),
		ThrottlePercent:   s.throttle.percent,
	}
	if last := s.rounds.last(); last.MS > 0 {
		p.DirtyBitsPerS = 8 * guestmem.PageSize * float64(last.DirtiedPages) / last.MS * 1000
	}
	if phase == PhaseServe {
		p.Serving = serving
	}
	p.Undecided = phase == PhaseInDoubt && !s.times.committing.IsZero() && time.Since(s.times.committing) >= undecidedAfter
	forecast := *f
	s.mu.Unlock()
	if phase == PhasePull {
		p.RemainingBytes = uint64(max(s.owed.left.Load(), 0)) * guestmem.PageSize
	}
	if phase == PhasePush && s.tracker != nil {
		pending := s.tracker.Pending()
		p.RemainingBytes = pending * guestmem.PageSize
		if forecast.bandwidth() > 0 {
			p.ForecastDowntimeMS = milliseconds(forecast.downtime(pending))
		}
	}
	s.progressMu.Lock()
	defer s.progressMu.Unlock()
	if phase == PhasePush {
		s.shown = time.Now()
	}
	s.Progress(p)
}
