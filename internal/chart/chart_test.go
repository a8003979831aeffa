package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTicks(t *testing.T) {
	texts := func(a Axis, values ...float64) (all []string) {
		for _, t := range spanOf(a, values).ticks(5) {
			all = append(all, t.Text)
		}
		return all
	}
	for _, tt := range []struct {
		name string
		got  []string
		want []string
	}{
		{"round", texts(Axis{}, 3, 97), []string{"0", "20", "40", "60", "80"}},
		{"small", texts(Axis{}, 0.004), []string{"0", "0.001", "0.002", "0.003", "0.004"}},
		{"powers", texts(Axis{Log: true}, 3, 4000), []string{"1", "10", "100", "1000", "10000"}},
		{"many powers", texts(Axis{Log: true}, 1e-3, 1e6), []string{"0.001", "0.1", "10", "1000", "100000"}},
		{"names", texts(Axis{Names: []string{"one", "two", "three"}}), []string{"one", "two", "three"}},
		{"nothing", texts(Axis{}), []string{"0", "0.2", "0.4", "0.6", "0.8", "1"}},
		{"no power", texts(Axis{Log: true}, 0, -1, math.NaN(), math.Inf(1)), []string{"1", "2", "5", "10"}},
	} {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestTicksAreBounded: no values make an axis of very many.
func TestTicksAreBounded(t *testing.T) {
	for _, values := range [][]float64{{5e-324}, {math.MaxFloat64}, {5e-324, math.MaxFloat64}, {-math.MaxFloat64, math.MaxFloat64}, {1e-300, 2e-300}} {
		for _, log := range []bool{false, true} {
			if got := len(spanOf(Axis{Log: log}, values).ticks(5)); got > 20 {
				t.Errorf("%v, log %v: got %d ticks; want a few", values, log, got)
			}
		}
	}
}

func TestShare(t *testing.T) {
	s := spanOf(Axis{Log: true}, []float64{1, 100})
	for _, tt := range []struct {
		v, want float64
		ok      bool
	}{{1, 0, true}, {10, 0.5, true}, {100, 1, true}, {1000, 1, true}, {0, 0, false}, {math.NaN(), 0, false}} {
		if got, ok := s.share(tt.v); math.Abs(got-tt.want) > 1e-9 || ok != tt.ok {
			t.Errorf("%v: got %v, %v; want %v, %v", tt.v, got, ok, tt.want, tt.ok)
		}
	}
}

// sample has one of everything, with texts that would be markup.
func sample() Chart {
	const bad = `<b>"'&`
	points := []Point{{X: 1, Y: 2, Low: 1, High: 3}, {X: 2, Y: 4, Low: 3, High: 5}, {X: 3, Y: math.NaN()}}
	c := Chart{Title: bad, Says: bad, X: Axis{Title: bad}, Y: Axis{Title: bad, Format: func(float64) string { return bad }}}
	for _, k := range []Kind{Line, Step, Dots, Trend, Bars} {
		c.Series = append(c.Series, Series{Name: bad, Kind: k, Tone: int(k), Fill: k == Line, Points: points})
	}
	c.Marks = []Mark{{At: 3, Text: bad}, {At: 1.5, Vertical: true, Text: bad}}
	return c
}

func TestFileIsXML(t *testing.T) {
	var b bytes.Buffer
	if err := sample().WriteFile(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	kinds := make(map[string]int)
	for d := xml.NewDecoder(&b); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if e, ok := token.(xml.StartElement); ok {
			kinds[e.Name.Local]++
		}
	}
	// Three joined series and an area; two points of two series; two bars.
	want := map[string]int{"path": 4, "circle": 4, "b": 0}
	for kind, n := range want {
		if kinds[kind] != n {
			t.Errorf("got %d of %s; want %d in\n%s", kinds[kind], kind, n, text)
		}
	}
	if strings.Contains(text, "NaN") || strings.Contains(text, "<b>") {
		t.Errorf("got %s; want numbers and texts only", text)
	}
}

func TestFluid(t *testing.T) {
	if got := string(sample().Fluid()); strings.Contains(got, "<b>") || strings.Contains(got, "NaN") || strings.Count(got, "<li>") != 5 {
		t.Errorf("got %s; want five names in its legend, and texts escaped", got)
	}
	if got := string(Chart{}.Fluid()); !strings.Contains(got, "</figure>") {
		t.Errorf("got %s for a chart of nothing; want an empty one", got)
	}
}

// TestTones: each tone that a chart can have has a colour in both schemes.
func TestTones(t *testing.T) {
	for i := range Tones {
		for _, want := range []string{"--t", ".s", ".f"} {
			tone := want + string(rune('0'+i))
			if n := strings.Count(string(Style), tone); n < 1 || want == "--t" && n < 2 {
				t.Errorf("got %d of %s in the style; want it", n, tone)
			}
		}
	}
}
