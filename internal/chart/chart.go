package chart

import "math"

// Kind is how a series is drawn.
type Kind int

// The kinds of series.
const (
	Line  Kind = iota // points joined
	Step              // each point holds until the next
	Dots              // points alone, with their spread where they have one
	Trend             // points joined, each with a dot and its spread
	Bars              // from the axis up, as wide as the gap to the next allows
)

// Point is one of a series. Low and High are its spread, both 0: none.
type Point struct{ X, Y, Low, High float64 }

// Series are points of one colour. Tone, from 0 to Tones-1, is which.
type Series struct {
	Name   string
	Kind   Kind
	Tone   int
	Fill   bool // also below the line
	Points []Point
}

// Tones is how many colours there are.
const Tones = 7

// Axis is one direction of a chart.
type Axis struct {
	Title  string
	Log    bool // by powers; what is not above 0 is left out
	Format func(float64) string
	// Min and Max bound it where they are beyond the points; both 0: nothing is asked for.
	Min, Max float64
	// Names of whole numbers from 0 on, in the place of numbers.
	Names []string
}

// Mark is a line across the chart.
type Mark struct {
	At       float64
	Vertical bool // at a place of X, else of Y
	Text     string
	Tone     int
}

// Chart is a set of series on two axes.
type Chart struct {
	Title  string
	Says   string // the same in words, for who does not see it
	X, Y   Axis
	Series []Series
	Marks  []Mark
	Height int // of the plot, in pixels; 0: 220
}

// span is an axis with its bounds, which maps values to shares from 0 to 1.
type span struct {
	Axis
	lo, hi float64
}

// spanOf fits an axis around values.
func spanOf(a Axis, values []float64) span {
	s := span{Axis: a, lo: math.Inf(1), hi: math.Inf(-1)}
	if a.Min != 0 || a.Max != 0 {
		values = append(values, a.Min, a.Max)
	}
	for _, v := range values {
		if usable(v) && (!a.Log || v > 0) {
			s.lo, s.hi = min(s.lo, v), max(s.hi, v)
		}
	}
	if s.lo > s.hi { // nothing to show
		s.lo, s.hi = 1, 1
	}
	switch {
	case a.Names != nil:
		s.lo, s.hi = -0.5, float64(len(a.Names))-0.5
	case a.Log:
		s.lo = max(s.lo, s.hi/longestLog)
		s.lo, s.hi = math.Pow(10, math.Floor(math.Log10(s.lo))), math.Pow(10, math.Ceil(math.Log10(s.hi)))
		if s.hi <= s.lo {
			s.hi = 10 * s.lo
		}
	default:
		s.lo = min(s.lo, 0)
		if s.hi <= s.lo {
			s.hi = s.lo + 1
		}
	}
	return s
}

// longestLog bounds a scale by powers: from one end to the other.
const longestLog = 1e12

func usable(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// share is where a value is, from 0 to 1; false if it is nowhere.
func (s span) share(v float64) (float64, bool) {
	if !usable(v) || s.Log && v <= 0 {
		return 0, false
	}
	at := (v - s.lo) / (s.hi - s.lo)
	if s.Log {
		at = math.Log(v/s.lo) / math.Log(s.hi/s.lo)
	}
	return min(max(at, 0), 1), true
}

// bounds are the axes of a chart, around all that it shows.
func (c Chart) bounds() (x, y span) {
	var xs, ys []float64
	for _, s := range c.Series {
		for _, p := range s.Points {
			xs, ys = append(xs, p.X), append(ys, p.Y)
			if p.High != 0 {
				ys = append(ys, p.Low, p.High)
			}
		}
	}
	for _, m := range c.Marks {
		if m.Vertical {
			xs = append(xs, m.At)
		} else {
			ys = append(ys, m.At)
		}
	}
	x, y = spanOf(c.X, xs), spanOf(c.Y, ys)
	if !y.Log && c.Y.Max == 0 {
		y.hi *= 1.06 // room above the highest
	}
	return x, y
}
