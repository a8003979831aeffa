package chart

import (
	"fmt"
	"math"
	"strings"
)

// drawing is a chart as its template has it: places in percent of the plot's width and height, from the top left.
type drawing struct {
	Title, Says string
	XTitle      string
	YTitle      string
	Height      int
	XTicks      []place
	YTicks      []place
	Paths       []path
	Boxes       []box
	Dots        []place
	Spreads     []box
	Marks       []place
	Legend      []entry
}

type place struct {
	X, Y   float64
	Text   string
	Anchor string
	Tone   int
	Across bool // a vertical mark
	Down   int  // of its text, in pixels
}

type box struct {
	X, Y, W, H float64
	Tone       int
	Text       string
}

type path struct {
	D    string
	Tone int
	Fill bool
}

type entry struct {
	Name string
	Tone int
}

// The viewBox of lines: so many units are all of the plot.
const units = 1000

// draw places all of a chart.
func (c Chart) draw(xTicks, yTicks int) drawing {
	x, y := c.bounds()
	d := drawing{Title: c.Title, Says: c.Says, XTitle: c.X.Title, YTitle: c.Y.Title, Height: c.Height}
	if d.Height == 0 {
		d.Height = 220
	}
	for _, t := range x.ticks(xTicks) {
		d.XTicks = append(d.XTicks, place{X: percent(t.At), Text: t.Text})
	}
	for _, t := range y.ticks(yTicks) {
		d.YTicks = append(d.YTicks, place{Y: percent(1 - t.At), Text: t.Text})
	}
	for _, s := range c.Series {
		d.Legend = append(d.Legend, entry{s.Name, s.Tone})
		d.series(s, x, y)
	}
	down := 10 // of the next text of a vertical mark, so that they do not cover each other
	for _, m := range c.Marks {
		p := place{Text: m.Text, Tone: m.Tone, Across: m.Vertical, Anchor: "start"}
		if m.Vertical {
			at, _ := x.share(m.At)
			p.X, p.Down = percent(at), down
			down += 16
		} else {
			at, _ := y.share(m.At)
			p.Y = percent(1 - at)
		}
		if p.X > 60 {
			p.Anchor = "end"
		}
		d.Marks = append(d.Marks, p)
	}
	return d
}

// series places one.
func (d *drawing) series(s Series, x, y span) {
	var at [][2]float64
	for _, p := range s.Points {
		px, okX := x.share(p.X)
		py, okY := y.share(p.Y)
		if !okX || !okY {
			continue
		}
		at = append(at, [2]float64{px, 1 - py})
		if s.Kind == Dots || s.Kind == Trend {
			d.Dots = append(d.Dots, place{X: percent(px), Y: percent(1 - py), Tone: s.Tone, Text: s.Name + ": " + x.text(p.X) + ", " + y.text(p.Y)})
			low, okLow := y.share(p.Low)
			high, okHigh := y.share(p.High)
			if p.High != 0 && okLow && okHigh {
				d.Spreads = append(d.Spreads, box{X: percent(px), Y: percent(1 - high), H: percent(1 - low), Tone: s.Tone})
			}
		}
	}
	if len(at) == 0 {
		return
	}
	switch s.Kind {
	case Bars:
		d.bars(s, at)
	case Line, Trend, Step:
		d.joined(s, at)
	case Dots:
	}
}

func (d *drawing) bars(s Series, at [][2]float64) {
	width := 1.0
	for i := 1; i < len(at); i++ {
		width = min(width, at[i][0]-at[i-1][0])
	}
	if len(at) == 1 {
		width = 0.1
	}
	for _, p := range at {
		d.Boxes = append(d.Boxes, box{X: percent(p[0] - 0.4*width), Y: percent(p[1]), W: percent(0.8 * width), H: percent(1 - p[1]), Tone: s.Tone})
	}
}

func (d *drawing) joined(s Series, at [][2]float64) {
	var b strings.Builder
	for i, p := range at {
		switch {
		case i == 0:
			fmt.Fprintf(&b, "M%s %s", unit(p[0]), unit(p[1]))
		case s.Kind == Step:
			fmt.Fprintf(&b, "H%sV%s", unit(p[0]), unit(p[1]))
		default:
			fmt.Fprintf(&b, "L%s %s", unit(p[0]), unit(p[1]))
		}
	}
	if s.Fill {
		d.Paths = append(d.Paths, path{D: b.String() + fmt.Sprintf("V%d H%s Z", units, unit(at[0][0])), Tone: s.Tone, Fill: true})
	}
	d.Paths = append(d.Paths, path{D: b.String(), Tone: s.Tone})
}

// percent rounds to what can be seen, so that pages stay small.
func percent(share float64) float64 { return math.Round(share*10000) / 100 }

func unit(share float64) string { return fmt.Sprintf("%.5g", math.Round(share*units*10)/10) }
