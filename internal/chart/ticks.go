package chart

import (
	"math"
	"strconv"
)

// tick is a labelled place of an axis.
type tick struct {
	At   float64 // share of the axis
	Text string
}

// ticks are about want of them, at round values.
func (s span) ticks(want int) []tick {
	var values []float64
	switch {
	case s.Names != nil:
		longest := 0
		for _, name := range s.Names {
			longest = max(longest, len([]rune(name)))
		}
		if longest <= 3 {
			want *= 2
		}
		every := max((len(s.Names)+want-1)/want, 1)
		for i := 0; i < len(s.Names); i += every {
			values = append(values, float64(i))
		}
	case s.Log:
		decades := int(math.Round(math.Log10(s.hi / s.lo)))
		if decades == 1 {
			values = []float64{s.lo, 2 * s.lo, 5 * s.lo, s.hi}
			break
		}
		every := max((decades+want-1)/want, 1)
		for i := 0; i <= decades; i += every {
			values = append(values, s.lo*math.Pow(10, float64(i)))
		}
	default:
		step := niceStep((s.hi - s.lo) / float64(want))
		for i := math.Ceil(s.lo / step); i*step <= s.hi; i++ {
			values = append(values, i*step)
		}
	}
	var all []tick
	for _, v := range values {
		at, _ := s.share(v)
		all = append(all, tick{At: at, Text: s.text(v)})
	}
	return all
}

// text says a value as the axis does.
func (s span) text(v float64) string {
	switch {
	case s.Names != nil:
		return s.Names[int(v)]
	case s.Format != nil:
		return s.Format(v)
	}
	return strconv.FormatFloat(v, 'g', 7, 64)
}

// niceStep is the least of 1, 2 and 5 times a power of ten that is not below step.
func niceStep(step float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(step)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= step*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}
