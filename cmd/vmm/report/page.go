package report

import (
	"embed"
	"encoding/json"
	"html/template"
	"io"
	"math"
	"sync"

	"github.com/ferryvmm/ferry/internal/chart"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

//go:embed page.html page.css
var files embed.FS

// page is parsed when it is needed: the same program is every machine's.
var page = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page.html").Funcs(template.FuncMap{
		"size": func(n uint64) string { return sizeText(float64(n)) }, "bits": bitsText, "time": timeText, "count": countText,
	}).ParseFS(files, "page.html"))
})

// bar is a strip of parts that add up to a whole.
type bar struct {
	Says  string
	Parts []segment
}

// segment is a part of a bar: where it is and how wide, in percent.
type segment struct {
	part
	X, W  float64
	Of    string // its share of the whole
	Label string // where its name fits: always, wide (not on a phone), or empty: never
}

// labelled says where a name fits into a width in percent: how wide a letter and strips are at the least, in pixels, is a guess.
func labelled(name string, width float64) string {
	switch need := 16 + 7.5*float64(len(name)); {
	case need <= width/100*300:
		return "always"
	case need <= width/100*640:
		return "wide"
	}
	return ""
}

// view is the page's data.
type view struct {
	*Move
	Style                            template.CSS
	Headline, Cause, Stood           string
	Notes                            []note
	Tiles                            []tile
	Timeline, Legend, Down           bar
	ZoomFrom, ZoomTo                 float64 // of the timeline, in tenths of a percent
	Panels                           []panel
	Kinds                            []row
	Channels, Codecs, Frames, Pulled []row
	Asked                            []row
	JSON                             string
}

// tile is a number that matters.
type tile struct{ Name, Value, Beside string }

// row is a line of a table, with a bar where Share, in percent, is not below 0.
type row struct {
	Name, Value, Beside string
	Share               float64
	Tone                int
}

// Write writes the page.
func Write(w io.Writer, m Move) error {
	text, err := json.MarshalIndent(m.Result, "", "  ")
	if err != nil {
		return err
	}
	css, err := files.ReadFile("page.css")
	if err != nil {
		return err
	}
	v := view{
		Move: &m, Style: chart.Style + chart.FluidStyle + template.CSS(css), //nolint:gosec // our own file
		Headline: m.headline(), Cause: m.cause(), Stood: m.stood(), Notes: m.notes(), Tiles: m.tiles(),
		Timeline: strip("The time of the move", m.parts(), m.Result.TotalMS), Legend: strip("", sum(m.parts()), m.Result.TotalMS),
		Down: strip("The downtime, magnified", m.downtime(), m.Result.DowntimeMS), Panels: m.panels(),
		Kinds: m.kinds(), Channels: m.channels(), Codecs: m.codecs(), Frames: m.frames(), Pulled: m.pulled(), Asked: m.asked(), JSON: string(text),
	}
	for _, s := range v.Timeline.Parts {
		if s.Name == "stop" {
			v.ZoomFrom, v.ZoomTo = 10*s.X, 10*(s.X+s.W)
		}
	}
	return page().Execute(w, v)
}

// strip places parts beside each other.
func strip(says string, parts []part, all float64) bar {
	b := bar{Says: says}
	for _, p := range parts {
		says := ": "
		if b.Says == "" {
			says = ""
		}
		width := hundredths(p.MS / all)
		b.Parts = append(b.Parts, segment{part: p, X: hundredths(p.Start / all), W: width, Of: shareText(p.MS, all), Label: labelled(p.Name, width)})
		if says != "" {
			b.Says += says + p.Name + " " + timeText(p.MS)
		}
	}
	return b
}

// hundredths is a share in percent, within 0 and 100 whatever it is a share of.
func hundredths(share float64) float64 {
	if math.IsNaN(share) {
		return 0
	}
	return math.Round(10000*min(max(share, 0), 1)) / 100
}

// tiles are the numbers on top.
func (m *Move) tiles() []tile {
	r := &m.Result
	if r.TotalMS == 0 {
		return nil // it had not begun
	}
	all := []tile{{"total time", timeText(r.TotalMS), "mode " + r.Mode}}
	if r.DowntimeMS > 0 {
		beside := ""
		if f := r.Forecast.DowntimeMS; f > 0 {
			beside = "forecast " + timeText(f)
		}
		all = append(all, tile{"downtime", timeText(r.DowntimeMS), beside})
	}
	if r.Mode == api.ModeLocal {
		return append(all, tile{"memory handed over", sizeText(float64(r.ResidentBytes)), "none of it copied"})
	}
	all = append(all, tile{"sent", sizeText(float64(r.SentBytes)), "of " + sizeText(float64(r.ResidentBytes)) + " in use"})
	if len(r.Rounds) > 0 {
		beside := plural(uint64(len(r.Rounds)), "round")
		if ms := r.Phases.PushMS + r.Phases.StopMS + r.Phases.PullMS; ms > 0 {
			all = append(all, tile{"mean rate", bitsText(float64(r.SentBytes) * 8000 / ms), beside})
		}
	}
	if r.Faults.Count > 0 {
		all = append(all, tile{"waits for pages", countText(r.Faults.Count), "half of them up to " + microsText(r.Faults.P50US)})
	}
	return all
}
