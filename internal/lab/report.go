package lab

import (
	"cmp"
	"slices"
	"time"
)

// beat is one heartbeat of one vCPU.
type beat struct {
	number uint64
	at     stamp
	stream *Stream
}

// track is all that one vCPU has beaten, in the order of the stamps.
type track struct{ beats []beat }

// add puts a beat where its stamp says: it comes late if another stream's reader was quicker, and much too late if a move
// cut its line in two, the end of which is known for what it is only when the source's stream has ended.
func (t *track) add(b beat) {
	i := len(t.beats)
	for i > 0 && t.beats[i-1].at > b.at {
		i--
	}
	t.beats = slices.Insert(t.beats, i, b)
}

// CPUReport is what the heartbeats of one vCPU say.
type CPUReport struct {
	CPU    int
	Beats  uint64
	First  uint64 // the lowest number seen
	Latest uint64 // the highest
	Lost   uint64 // numbers in between that never came
	Extra  uint64 // numbers that came more than once
	Gap    Gap    // the longest
}

// Gap is a silence between two heartbeats of one vCPU.
type Gap struct {
	CPU      int
	Start    time.Duration // CLOCK_MONOTONIC of the heartbeat before it
	Downtime time.Duration // the interval less the period, at least 0
	From, To string        // the streams of the two heartbeats
}

// Report is what was seen of a guest.
type Report struct {
	CPUs    []CPUReport // by number
	Longest Gap         // over all vCPUs: the observed downtime
	Lost    uint64      // heartbeats, over all vCPUs
	Extra   uint64
	Corrupt uint64 // CORRUPT lines
	Panics  uint64
	Text    uint64 // lines that are none of loadgen's
	Stat    Stat   // the latest
}

// Report tells what was seen since the beginning. A heartbeat whose line a
// move cut in two counts as soon as both halves are here.
func (o *Observer) Report() Report { return o.ReportSince(0) }

// ReportSince is Report for the heartbeats after start (as Now says it) and,
// for each vCPU, the last one before it. Lines and STAT are those of all time.
func (o *Observer) ReportSince(start time.Duration) Report {
	o.mu.Lock()
	r := Report{Corrupt: o.corrupt, Panics: o.panics, Text: o.text, Stat: o.last}
	window := make(map[int][]beat, len(o.cpus))
	late := o.pending()
	for cpu, t := range o.cpus {
		k := track{slices.Clone(t.since(start))}
		for _, b := range late[cpu] {
			if b.at > start {
				k.add(b)
			}
		}
		window[cpu] = k.beats
	}
	o.mu.Unlock()

	for cpu, beats := range window {
		c := reportCPU(cpu, beats, o.period)
		r.CPUs = append(r.CPUs, c)
		r.Lost += c.Lost
		r.Extra += c.Extra
	}
	slices.SortFunc(r.CPUs, func(a, b CPUReport) int { return cmp.Compare(a.CPU, b.CPU) })
	for _, c := range r.CPUs {
		if c.Gap.Downtime > r.Longest.Downtime {
			r.Longest = c.Gap
		}
	}
	return r
}

// since returns the beats after start and the one before.
func (t *track) since(start stamp) []beat {
	first, _ := slices.BinarySearchFunc(t.beats, start, func(b beat, s stamp) int { return cmp.Compare(b.at, s) })
	return t.beats[max(0, first-1):]
}

// reportCPU looks at the beats of one vCPU, in the order of their stamps. It reorders them.
func reportCPU(cpu int, beats []beat, period time.Duration) CPUReport {
	r := CPUReport{CPU: cpu, Beats: uint64(len(beats))}
	if len(beats) == 0 {
		return r
	}
	for i := 1; i < len(beats); i++ {
		a, b := beats[i-1], beats[i]
		if down := b.at - a.at - period; down > r.Gap.Downtime || i == 1 {
			r.Gap = Gap{
				CPU: cpu, Start: a.at, Downtime: max(0, down),
				From: a.stream.Name, To: b.stream.Name,
			}
		}
	}
	slices.SortFunc(beats, func(a, b beat) int { return cmp.Compare(a.number, b.number) })
	r.First, r.Latest = beats[0].number, beats[len(beats)-1].number
	distinct := uint64(1)
	for i := 1; i < len(beats); i++ {
		if beats[i].number != beats[i-1].number {
			distinct++
		}
	}
	r.Extra = r.Beats - distinct
	r.Lost = r.Latest - r.First + 1 - distinct
	return r
}
