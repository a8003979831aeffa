package report

import "github.com/ferryvmm/ferry/vmm/supervisor/api"

// keptSamples bounds Samples: a move may go on for days.
const keptSamples = 2048

// Samples are the progress of a move, as it was told. Where there were many, every second, fourth or so is kept.
type Samples struct {
	All  []api.Progress
	skip int // how many are left out for each that is kept
	seen int
}

// Add notes one.
func (s *Samples) Add(p api.Progress) {
	if s.seen++; s.skip > 0 && s.seen%(s.skip+1) != 0 {
		return
	}
	if len(s.All) == keptSamples {
		for i := range keptSamples / 2 {
			s.All[i] = s.All[2*i]
		}
		s.All = s.All[:keptSamples/2]
		s.skip = 2*s.skip + 1
	}
	s.All = append(s.All, p)
}
