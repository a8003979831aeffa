package report

import (
	"slices"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// Move is what a page tells of.
type Move struct {
	Name    string // of the guest, at its source
	Ended   string // when, for people; empty: not told
	Version string // of this program
	Request api.MigrateRequest
	Result  api.Result
	Samples Samples
}

// betweenRounds is the part of the push that no round accounts for.
const betweenRounds = "between rounds"

// part is a stretch of a move's time.
type part struct {
	Name  string
	Says  string // what happens in it
	Start float64
	MS    float64
	Tone  int
	Pale  bool // every second round
}

// parts divides the time of a move. They follow each other, and what none of them accounts for is the last.
func (m *Move) parts() []part {
	r, p := &m.Result, &m.Result.Phases
	var all []part
	at := 0.0
	add := func(one part) {
		if one.MS > 0 {
			one.Start = at
			all = append(all, one)
			at += one.MS
		}
	}
	add(part{Name: "reserve", Says: "the target builds the machine and rehearses", MS: p.ReserveMS, Tone: 5})
	left := p.PushMS
	for i, round := range m.pushed() {
		ms := min(round.MS, left)
		left -= ms
		name, says := "first pass", "all memory is sent while the guest runs"
		if i > 0 {
			name, says = "further rounds", "what the guest wrote meanwhile is sent again"
		}
		add(part{Name: name, Says: says, MS: ms, Tone: 0, Pale: i%2 == 1})
	}
	rest := part{Name: betweenRounds, Says: "decisions, and rests where a stop would cost more than the limit", MS: left, Tone: 5}
	if len(m.pushed()) == 0 {
		rest.Name, rest.Says = "before the stop", "what is left to prepare"
	}
	add(rest)
	stop := "the guest stands still: the downtime"
	if r.Mode == api.ModeStopcopy {
		stop = "the guest stands still while all its memory is sent"
	}
	add(part{Name: "stop", Says: stop, MS: p.StopMS, Tone: 4})
	add(part{Name: "pull", Says: "the guest runs at the target, and the rest of its memory follows", MS: p.PullMS, Tone: 3})
	last, says := "release", "the source learns that all is well, and ends"
	if r.Outcome != api.OutcomeCompleted {
		last, says = "the rest", "what was done until it was given up"
	}
	add(part{Name: last, Says: says, MS: r.TotalMS - at, Tone: 5})
	return all
}

// pushed are the rounds sent while the guest ran at the source. The last round of all is that of the stop.
func (m *Move) pushed() []api.Round {
	r := m.Result.Rounds
	if len(r) > 0 && m.stopped() {
		return r[:len(r)-1]
	}
	return r
}

// stopped says whether the last round is that of the stop.
func (m *Move) stopped() bool {
	return m.Result.Phases.StopMS > 0 || m.Result.Outcome == api.OutcomeCompleted
}

// left says that what a round found dirty at its end is not what the guest had written: it was the stop's, or it was left before it had sent all, so that the
// rest is pulled.
func (m *Move) left(round int) bool {
	pushed := m.pushed()
	if round >= len(pushed) {
		return true
	}
	r, all := pushed[round], m.Result.ResidentBytes/pageSize
	return m.Result.PulledPages > 0 && round == len(pushed)-1 && r.Pages+r.DirtiedPages >= all && r.Pages < all*9/10
}

// sum of the parts of each name, longest first.
func sum(parts []part) []part {
	var all []part
	for _, p := range parts {
		i := slices.IndexFunc(all, func(q part) bool { return q.Name == p.Name })
		if i < 0 {
			all = append(all, p)
			continue
		}
		all[i].MS += p.MS
	}
	return all
}

// longest is the part that takes most; false if there is none.
func longest(parts []part) (part, bool) {
	if len(parts) == 0 {
		return part{}, false
	}
	return slices.MaxFunc(parts, func(a, b part) int {
		switch {
		case a.MS < b.MS:
			return -1
		case a.MS > b.MS:
			return 1
		}
		return 0
	}), true
}

// downtime divides the time that the guest stood still.
func (m *Move) downtime() []part {
	d := m.Result.Downtime
	pause := "stopping vCPUs and devices"
	if m.Request.PauseBeforeSwitchover {
		pause += ", and waiting to be continued"
	}
	pages := "finding, sending and placing the last pages"
	if n := len(m.Result.Rounds); n > 0 && m.Result.Rounds[n-1].Bytes > 0 {
		pages += ", " + sizeText(float64(m.Result.Rounds[n-1].Bytes)) + " of them"
	}
	var all []part
	at := 0.0
	for i, p := range []part{
		{Name: "pause", Says: pause, MS: d.PauseMS},
		{Name: "pages", Says: pages, MS: d.PagesMS},
		{Name: "state", Says: "saving, sending and restoring vCPUs and devices", MS: d.StateMS},
		{Name: "commit", Says: "handing over, with a durable record", MS: d.CommitMS},
		{Name: "resume", Says: "starting at the target, and the news of it", MS: d.ResumeMS},
	} {
		if p.MS > 0 {
			p.Start, p.Tone = at, []int{5, 0, 2, 3, 1}[i]
			at += p.MS
			all = append(all, p)
		}
	}
	return all
}
