package report

import (
	_ "embed" // for the style
	"encoding/json"
	"io"
	"math"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

//go:embed page.css
var css string

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
	p := page{Move: &m}
	p.document(string(text))
	_, err = io.WriteString(w, string(p.Done()))
	return err
}

// at is where a part is, in percent; nowhere if there is none of that name.
func (b bar) at(name string) (from, to float64) {
	for _, s := range b.Parts {
		if s.Name == name {
			from, to = s.X, s.X+s.W
		}
	}
	return from, to
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
