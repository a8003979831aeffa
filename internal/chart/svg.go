package chart

import (
	"html/template"
	"io"
	"strings"
	"sync"
)

// content is the inside of a plot. What is drawn by a path is stretched with it, all else is not.
const content = `{{define "content"}}
{{- range .YTicks}}<line class="grid" x1="0" x2="100%" y1="{{.Y}}%" y2="{{.Y}}%"/>{{end}}
{{- range .Boxes}}<rect class="bar f{{.Tone}}" x="{{.X}}%" y="{{.Y}}%" width="{{.W}}%" height="{{.H}}%"/>{{end}}
<svg width="100%" height="100%" viewBox="0 0 1000 1000" preserveAspectRatio="none" overflow="visible">
{{- range .Paths}}<path class="{{if .Fill}}area f{{.Tone}}{{else}}line s{{.Tone}}{{end}}" d="{{.D}}"/>{{end}}</svg>
{{- range .Spreads}}<line class="spread s{{.Tone}}" x1="{{.X}}%" x2="{{.X}}%" y1="{{.Y}}%" y2="{{.H}}%"/>{{end}}
{{- range .Dots}}<circle class="f{{.Tone}}" cx="{{.X}}%" cy="{{.Y}}%" r="3.5"><title>{{.Text}}</title></circle>{{end}}
{{- range .Marks}}{{if .Across}}<line class="mark s{{.Tone}}" x1="{{.X}}%" x2="{{.X}}%" y1="0" y2="100%"/><text class="note" x="{{.X}}%" y="0" dx="{{if eq .Anchor "end"}}-6{{else}}6{{end}}" dy="{{.Down}}" text-anchor="{{.Anchor}}">{{.Text}}</text>
{{- else}}<line class="mark s{{.Tone}}" x1="0" x2="100%" y1="{{.Y}}%" y2="{{.Y}}%"/><text class="note" x="0" y="{{.Y}}%" dx="6" dy="-5">{{.Text}}</text>{{end}}{{end}}
{{- range .XTicks}}<text x="{{.X}}%" y="100%" dy="18" text-anchor="middle">{{.Text}}</text>{{end}}{{end}}`

// gutter is the room for the numbers of Y, in pixels.
const gutter = 66

// Templates are parsed when they are needed: the same program is every machine's.
var fluid = parsed("fluid", `<figure class="chart">
{{- if .Title}}<figcaption>{{.Title}}</figcaption>{{end}}
<ul class="legend">{{range .Legend}}<li><i class="b{{.Tone}}"></i>{{.Name}}</li>{{end}}</ul>
<div class="plot" role="img" aria-label="{{.Says}}"><svg class="gutter" width="66" height="{{.Height}}" overflow="visible" aria-hidden="true">
{{- range .YTicks}}<text x="58" y="{{.Y}}%" dy="4" text-anchor="end">{{.Text}}</text>{{end}}</svg><svg class="inner" height="{{.Height}}" overflow="visible" aria-hidden="true">{{template "content" .}}</svg></div>
<p class="axis">{{.XTitle}}</p></figure>`)

func parsed(name, text string) func() *template.Template {
	return sync.OnceValue(func() *template.Template { return template.Must(template.New(name).Parse(content + text)) })
}

// Fluid draws the chart for a page that has Style and FluidStyle.
func (c Chart) Fluid() template.HTML {
	var b strings.Builder
	if err := fluid().Execute(&b, c.draw(5, 4)); err != nil {
		panic(err) // a fault of the template's
	}
	return template.HTML(b.String()) //nolint:gosec // made by html/template
}

// FluidStyle is what Fluid needs beside Style.
const FluidStyle template.CSS = `
.chart{margin:0}.chart figcaption{font-weight:600}.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.15rem 1.1rem;margin:.35rem 0 .6rem;padding:0;font-size:.86rem;color:var(--dim)}
.legend i{display:inline-block;width:.7rem;height:.7rem;border-radius:2px;margin-right:.4rem}
.plot{display:flex;padding:14px 22px 24px 0}.plot .inner{flex:1;min-width:0}.plot .gutter{flex:none}.axis{margin:0;text-align:right;font-size:.8rem;color:var(--dim)}
.b0{background:var(--t0)}.b1{background:var(--t1)}.b2{background:var(--t2)}.b3{background:var(--t3)}.b4{background:var(--t4)}.b5{background:var(--t5)}.b6{background:var(--t6)}`

// The size of a file, in pixels.
const (
	FileWidth  = 860
	fileTop    = 78
	filePlot   = 330
	fileRight  = 24
	FileHeight = fileTop + filePlot + 62
)

var file = parsed("file", `<svg xmlns="http://www.w3.org/2000/svg" width="{{.W}}" height="{{.H}}" viewBox="0 0 {{.W}} {{.H}}" role="img">
<title>{{.Title}}</title><desc>{{.Says}}</desc><style>{{.Style}}</style><rect width="100%" height="100%" style="fill:var(--paper)"/>
<text class="note" x="16" y="26" style="font-size:16px;font-weight:600">{{.Title}}</text><text x="16" y="68">{{.YTitle}}</text>
{{- range .LegendPlaces}}<rect class="f{{.Tone}}" x="{{.X}}" y="38" width="11" height="11"/><text x="{{.X}}" y="48" dx="16">{{.Text}}</text>{{end}}
<g transform="translate(0 {{.Top}})">{{range .Labels}}<text x="{{.X}}" y="{{.Y}}" dy="4" text-anchor="end">{{.Text}}</text>{{end}}</g>
<svg x="{{.Gutter}}" y="{{.Top}}" width="{{.PlotW}}" height="{{.PlotH}}" overflow="visible">{{template "content" .}}</svg>
<text x="{{.Right}}" y="{{.Bottom}}" text-anchor="end">{{.XTitle}}</text></svg>
`)

// WriteFile writes the chart as an SVG document of FileWidth by FileHeight pixels.
func (c Chart) WriteFile(w io.Writer) error {
	d := c.draw(8, 6)
	x := 16.0
	for _, l := range d.Legend {
		d.LegendPlaces = append(d.LegendPlaces, place{X: x, Tone: l.Tone, Text: l.Name})
		x += 40 + 6.6*float64(len([]rune(l.Name)))
	}
	var labels []place
	for _, t := range d.YTicks {
		labels = append(labels, place{X: gutter - 8, Y: t.Y / 100 * filePlot, Text: t.Text})
	}
	return file().Execute(w, struct {
		drawing
		W, H, Top, Gutter, PlotW, PlotH, Right, Bottom int
		Labels                                         []place
		Style                                          template.CSS
	}{
		d, FileWidth, FileHeight, fileTop, gutter, FileWidth - gutter - fileRight, filePlot, FileWidth - fileRight, FileHeight - 16, labels, Style,
	})
}
