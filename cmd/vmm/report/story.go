package report

import (
	"fmt"
	"strings"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// pageSize of what is sent, in bytes.
const pageSize = 4096

// headline says in one sentence what became of the guest.
func (m *Move) headline() string {
	r := &m.Result
	switch r.Outcome {
	case api.OutcomeFailed:
		return fmt.Sprintf("%s was not moved to %s", m.Name, m.Request.Target)
	case api.OutcomeCancelled:
		return fmt.Sprintf("The move of %s was cancelled after %s", m.Name, timeText(r.TotalMS))
	case api.OutcomeInDoubt:
		return fmt.Sprintf("Nobody knows yet which host owns %s", m.Name)
	case api.OutcomeLost:
		return m.Name + " is lost"
	case api.OutcomeCompleted:
	}
	still := "and stood still for " + timeText(r.DowntimeMS)
	if r.DowntimeMS == 0 {
		still = "while it was paused"
	}
	switch r.Mode {
	case api.ModeLocal:
		return fmt.Sprintf("%s was handed over in %s %s", m.Name, timeText(r.TotalMS), still)
	case api.ModeRemote:
		return fmt.Sprintf("%s runs at its target after %s, %s; its memory stays behind until it is needed", m.Name, timeText(r.TotalMS), still)
	}
	return fmt.Sprintf("%s moved in %s %s", m.Name, timeText(r.TotalMS), still)
}

// cause says what took the time.
func (m *Move) cause() string {
	r := &m.Result
	all := sum(m.parts())
	most, ok := longest(all)
	if !ok {
		return "The move had not begun."
	}
	share := shareText(most.MS, r.TotalMS)
	went := fmt.Sprintf("%s of the time (%s) went to ", share, timeText(most.MS))
	if most.MS >= r.TotalMS {
		went = "All of the time went to "
	}
	switch most.Name {
	case "reserve":
		return went + "preparing the target: building the machine there, and rehearsing its restore, while the guest ran on."
	case "first pass":
		first := m.Result.Rounds[0]
		return went + fmt.Sprintf("the first pass over %s of memory, sent at %s while the guest ran%s.", sizeText(float64(first.Bytes)), bitsText(first.SentBitsPerS), m.held(first.SentBitsPerS))
	case "further rounds":
		return went + m.rounds()
	case "stop":
		if r.Mode == api.ModeStopcopy {
			return went + fmt.Sprintf("sending %s with the guest stopped, as --mode stopcopy does.", sizeText(float64(r.PageBytes)))
		}
		return went + "the stop itself: little was left to do beside it."
	case "pull":
		return went + fmt.Sprintf("the pull: %s of memory followed while the guest ran at the target.", sizeText(float64(r.PulledPages)*pageSize))
	case betweenRounds:
		return went + fmt.Sprintf("%s, and what lies between them.", plural(uint64(len(r.Rounds)), "round"))
	case "release":
		return went + "what comes behind the switch: the target says that all is well, and the source ends."
	}
	return went + most.Says + "."
}

// held says that a rate is what --bandwidth allows, if it is.
func (m *Move) held(rate float64) string {
	if limit := float64(m.Request.BandwidthBitsPerS); limit > 0 && rate > 0.8*limit {
		return ": no faster, as --bandwidth has it"
	}
	return ""
}

// rounds says why there were further rounds.
func (m *Move) rounds() string {
	further := m.pushed()[1:]
	var bytes, dirtied, ms float64
	for _, r := range further {
		bytes, dirtied, ms = bytes+float64(r.Bytes), dirtied+float64(r.DirtiedPages)*pageSize, ms+r.MS
	}
	if ms == 0 {
		return "rounds too short to be timed."
	}
	sent, dirty := bytes*8000/ms, dirtied*8000/ms
	text := fmt.Sprintf("%s over what the guest wrote meanwhile: it dirtied %s while %s left. ", plural(uint64(len(further)), "further round"), bitsText(dirty), bitsText(sent))
	switch ratio := dirty / sent; {
	case sent == 0 || ratio > 0.9:
		return text + "No round left less to do than the one before."
	case ratio > 0.5:
		return text + fmt.Sprintf("Each round left %.0f %% of the one before, so they shrank slowly.", 100*ratio)
	}
	return text + "Each round left less than half of the one before."
}

// stood says what the downtime consisted of, beside what was expected; empty if there was none.
func (m *Move) stood() string {
	r := &m.Result
	most, ok := longest(m.downtime())
	if !ok || r.DowntimeMS == 0 {
		return ""
	}
	text := fmt.Sprintf("Of the %s that the guest stood still, %s went to %s.", timeText(r.DowntimeMS), shareText(most.MS, r.DowntimeMS), most.Says)
	if f := r.Forecast.DowntimeMS; f > 0 {
		text += fmt.Sprintf(" The forecast was %s.", timeText(f))
	}
	if limit := m.Request.DowntimeLimitMS; limit > 0 && r.DowntimeMS > limit && (r.Mode == api.ModePrecopy || r.Mode == api.ModeHybrid) {
		text += fmt.Sprintf(" That is beyond the limit of %s.", timeText(limit))
	}
	return text
}

// note is something that a reader should know.
type note struct {
	Bad  bool
	Text string
}

// notes are what else is worth knowing, the bad first.
func (m *Move) notes() []note {
	r := &m.Result
	var bad, good []note
	warn := func(format string, args ...any) { bad = append(bad, note{true, fmt.Sprintf(format, args...)}) }
	tell := func(format string, args ...any) { good = append(good, note{false, fmt.Sprintf(format, args...)}) }
	if e := r.Error; e != nil {
		warn("%s", strings.TrimSuffix(e.Message, ".")+".")
		if e.Remedy != "" {
			tell("To try: %s", e.Remedy)
		}
	} else if r.Reason != "" {
		warn("The reason: %s.", r.Reason)
	}
	switch r.Outcome {
	case api.OutcomeFailed, api.OutcomeCancelled:
		tell("The guest goes on at its source, unless said otherwise here.")
	case api.OutcomeInDoubt:
		tell("The source keeps its copy paused, and goes on asking. vmm ps shows how it ends; vmm migrate --resolve lets a person decide.")
	case api.OutcomeCompleted, api.OutcomeLost:
	}
	if n := r.Network.Dropped; n > 0 {
		warn("%s for the guest were lost on the way.", plural(n, "network frame"))
	}
	if n := r.Network.Late; n > 0 {
		tell("%s came late: others may have overtaken them.", plural(n, "network frame"))
	}
	if r.Rejoins > 0 {
		warn("The link was lost %s during the pull, and made anew.", times(uint64(r.Rejoins)))
	}
	if t := r.Throttle; t.MaxPercent > 0 {
		tell("The guest was slowed by up to %d %% for %s, so that it wrote no faster than the link takes.", t.MaxPercent, timeText(t.MS))
	}
	if f := r.Faults; f.Count > 0 {
		tell("The guest waited for a page %s: half of the waits took up to %s, the longest %s, all together %s.", times(f.Count), microsText(f.P50US), microsText(f.MaxUS), timeText(f.BlockedMS))
	}
	if d := m.again(); d != "" {
		tell("%s", d)
	}
	if r.PathReason != "" {
		tell("Memory was copied on its way out: %s.", strings.TrimSuffix(r.PathReason, "."))
	}
	return append(bad, good...)
}

// again says how much was sent more than once, if it is worth a word.
func (m *Move) again() string {
	p := m.Result.Pages
	sent := p.Data + p.Zero
	if p.Duplicate*20 < sent || p.Duplicate == 0 {
		return ""
	}
	return fmt.Sprintf("%s of the pages sent had been sent before: the guest had written them again.", shareText(float64(p.Duplicate), float64(sent)))
}

func times(n uint64) string {
	if n == 1 {
		return "once"
	}
	return countText(n) + " times"
}
