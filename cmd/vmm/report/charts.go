package report

import (
	"fmt"

	"github.com/ferryvmm/ferry/internal/chart"
	"github.com/ferryvmm/ferry/internal/markup"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// panel is a chart with what it is to be read for.
type panel struct {
	ID, Title, Says string
	Chart           markup.Markup
}

// drawn is a panel of a chart.
func drawn(id, title, says string, c chart.Chart) panel {
	c.Says = title + ". " + says
	return panel{ID: id, Title: title, Says: says, Chart: c.Fluid()}
}

// clock is the axis of a move's time, in ms.
func (m *Move) clock() chart.Axis {
	format := millisMark
	if m.Result.TotalMS >= 2000 {
		format = secondsMark
	}
	return chart.Axis{Title: "time since the request", Format: format}
}

// panels are the charts for which there is something to show.
func (m *Move) panels() []panel {
	var all []panel
	if len(m.pushed()) > 0 {
		all = append(all, m.rates())
	}
	if len(m.pushed()) > 1 {
		all = append(all, m.convergence())
	}
	if p, ok := m.remaining(); ok {
		all = append(all, p)
	}
	if p, ok := m.forecast(); ok {
		all = append(all, p)
	}
	if len(m.Result.Faults.Histogram) > 0 {
		all = append(all, m.latencies())
	}
	return all
}

// rates draws how fast memory left, and how fast the guest wrote.
func (m *Move) rates() panel {
	sent := chart.Series{Name: "sent", Kind: chart.Step, Tone: 0, Fill: true}
	dirty := chart.Series{Name: "written by the guest", Kind: chart.Step, Tone: 1}
	at := m.Result.Phases.ReserveMS
	var top float64
	for i, r := range m.pushed() {
		end := at + r.MS
		sent.Points = append(sent.Points, chart.Point{X: at, Y: r.SentBitsPerS}, chart.Point{X: end, Y: r.SentBitsPerS})
		if !m.left(i) {
			dirty.Points = append(dirty.Points, chart.Point{X: at, Y: r.DirtyBitsPerS}, chart.Point{X: end, Y: r.DirtyBitsPerS})
		}
		at, top = end, max(top, r.SentBitsPerS)
	}
	c := chart.Chart{
		X: m.clock(), Y: chart.Axis{Title: "rate", Format: rateMark},
		Series: []chart.Series{sent, dirty},
	}
	if m.Result.Phases.StopMS > 0 {
		stop := m.Result.Phases.ReserveMS + m.Result.Phases.PushMS
		c.Marks = append(c.Marks, chart.Mark{At: stop, Vertical: true, Text: "stop", Tone: 4})
	}
	if b := m.Request.BandwidthBitsPerS; b > 0 && float64(b) < 3*top {
		c.Marks = append(c.Marks, chart.Mark{At: float64(b), Text: "--bandwidth", Tone: 5})
	}
	return drawn("rates", "Rates", "Where the guest writes as fast as memory is sent, rounds do not become shorter.", c)
}

// convergence draws what each round sent and left.
func (m *Move) convergence() panel {
	sent := chart.Series{Name: "sent in the round", Kind: chart.Bars, Tone: 0}
	left := chart.Series{Name: "dirty at its end", Kind: chart.Trend, Tone: 1}
	var names []string
	for i, r := range m.Result.Rounds {
		names = append(names, fmt.Sprint(i))
		sent.Points = append(sent.Points, chart.Point{X: float64(i), Y: mib(float64(r.Pages) * pageSize)})
		if !m.left(i) {
			left.Points = append(left.Points, chart.Point{X: float64(i), Y: mib(float64(r.DirtiedPages) * pageSize)})
		}
	}
	return drawn("rounds-chart", "Memory, round by round", "By powers of ten: rounds that shrink come to an end, rounds that stay do not.", chart.Chart{
		X: chart.Axis{Title: "round", Names: names}, Y: chart.Axis{Log: true, Format: mibMark, Title: "memory"}, Series: []chart.Series{sent, left},
	})
}

// remaining draws how much was left to be sent.
func (m *Move) remaining() (panel, bool) {
	left := chart.Series{Name: "left to send", Kind: chart.Line, Tone: 0, Fill: true}
	for _, s := range m.Samples.All {
		if s.Phase == "push" || s.Phase == "pull" {
			left.Points = append(left.Points, chart.Point{X: s.ElapsedMS, Y: mib(float64(s.RemainingBytes))})
		}
	}
	if len(left.Points) < 3 {
		return panel{}, false
	}
	c := chart.Chart{X: m.clock(), Y: chart.Axis{Title: "memory", Format: mibMark}, Series: []chart.Series{left}}
	if m.Result.Phases.StopMS > 0 {
		c.Marks = append(c.Marks, chart.Mark{At: m.Result.Phases.ReserveMS + m.Result.Phases.PushMS, Vertical: true, Text: "stop", Tone: 4})
	}
	return drawn("remaining", "What was left to send", "It falls as memory is sent, and rises as the guest writes.", c), true
}

// forecast draws what the stop was expected to cost while the move went on.
func (m *Move) forecast() (panel, bool) {
	expected := chart.Series{Name: "forecast, if it were stopped now", Kind: chart.Trend, Tone: 2}
	for _, s := range m.Samples.All {
		if s.ForecastDowntimeMS > 0 {
			expected.Points = append(expected.Points, chart.Point{X: s.ElapsedMS, Y: s.ForecastDowntimeMS})
		}
	}
	if len(expected.Points) > 60 { // dots would cover each other
		expected.Kind = chart.Line
	}
	stop := m.Result.Phases.ReserveMS + m.Result.Phases.PushMS
	if f := m.Result.Forecast.DowntimeMS; f > 0 {
		expected.Points = append(expected.Points, chart.Point{X: stop, Y: f})
	}
	if len(expected.Points) < 2 {
		return panel{}, false
	}
	c := chart.Chart{
		X: m.clock(), Y: chart.Axis{Log: true, Title: "downtime", Format: millisMark}, Series: []chart.Series{expected},
	}
	if d := m.Result.DowntimeMS; d > 0 {
		c.Series = append(c.Series, chart.Series{Name: "what it was", Kind: chart.Dots, Tone: 4, Points: []chart.Point{{X: stop, Y: d}}})
	}
	if limit := m.Request.DowntimeLimitMS; limit > 0 {
		c.Marks = append(c.Marks, chart.Mark{At: limit, Text: "--downtime-limit " + timeText(limit), Tone: 5})
	}
	return drawn("forecast", "Forecast and outcome", "The guest is stopped when the forecast fits the limit, and further rounds would not make it much better.", c), true
}

// latencies draws how long the guest waited for pages.
func (m *Move) latencies() panel {
	f := m.Result.Faults
	bars := chart.Series{Name: "waits", Kind: chart.Bars, Tone: 3}
	var names []string
	for i, b := range f.Histogram {
		names = append(names, "≤ "+microsText(b.UpToUS))
		bars.Points = append(bars.Points, chart.Point{X: float64(i), Y: float64(b.Count)})
	}
	c := chart.Chart{
		X: chart.Axis{Title: "wait, from the fault to the wake", Names: names}, Y: chart.Axis{Title: "waits", Format: func(v float64) string { return countText(uint64(v)) }},
		Series: []chart.Series{bars},
	}
	for _, q := range []struct {
		name string
		us   float64
	}{{"p50", f.P50US}, {"p99", f.P99US}} {
		c.Marks = append(c.Marks, chart.Mark{At: bucketPlace(f.Histogram, q.us), Vertical: true, Text: q.name + " " + microsText(q.us), Tone: 5})
	}
	says := fmt.Sprintf("The guest ran on between %s; asking for a page took %s of a wait, the wire %s, placing it %s (medians).",
		plural(f.Count, "such wait"), microsText(f.AskUS), microsText(f.WireUS), microsText(f.PlaceUS))
	return drawn("faults", "Waits for pages", says, c)
}

// bucketPlace is where in a histogram a value is, in bars from 0.
func bucketPlace(bars []api.FaultBucket, us float64) float64 {
	for i, b := range bars {
		if us > b.UpToUS {
			continue
		}
		low := b.UpToUS / 2
		return float64(i) - 0.5 + min(max((us-low)/(b.UpToUS-low), 0), 1)
	}
	return float64(len(bars)) - 0.5
}
