package chart

import (
	"io"
	"strconv"

	"github.com/ferryvmm/ferry/internal/markup"
)

// gutter is the room for the numbers of Y, in pixels.
const gutter = 66

func tone(prefix string, n int) string { return prefix + strconv.Itoa(n) }

// content draws the inside of a plot. What is drawn by a path is stretched with it, all else is not.
func (d *drawing) content(w *markup.Writer) {
	percent := markup.Percent
	for _, t := range d.YTicks {
		w.Leaf("line", "class", "grid", "x1", "0", "x2", "100%", "y1", percent(t.Y), "y2", percent(t.Y))
	}
	for _, b := range d.Boxes {
		w.Leaf("rect", "class", "bar "+tone("f", b.Tone), "x", percent(b.X), "y", percent(b.Y), "width", percent(b.W), "height", percent(b.H))
	}
	w.Open("svg", "width", "100%", "height", "100%", "viewBox", "0 0 1000 1000", "preserveAspectRatio", "none", "overflow", "visible")
	for _, p := range d.Paths {
		class := "line " + tone("s", p.Tone)
		if p.Fill {
			class = "area " + tone("f", p.Tone)
		}
		w.Leaf("path", "class", class, "d", p.D)
	}
	w.Close("svg")
	for _, s := range d.Spreads {
		w.Leaf("line", "class", "spread "+tone("s", s.Tone), "x1", percent(s.X), "x2", percent(s.X), "y1", percent(s.Y), "y2", percent(s.H))
	}
	for _, p := range d.Dots {
		w.Open("circle", "class", tone("f", p.Tone), "cx", percent(p.X), "cy", percent(p.Y), "r", "3.5")
		w.Element("title", p.Text)
		w.Close("circle")
	}
	for _, m := range d.Marks {
		d.mark(w, m)
	}
	for _, t := range d.XTicks {
		w.Element("text", t.Text, "x", percent(t.X), "y", "100%", "dy", "18", "text-anchor", "middle")
	}
}

func (d *drawing) mark(w *markup.Writer, m place) {
	x, y := markup.Percent(m.X), markup.Percent(m.Y)
	if !m.Across {
		w.Leaf("line", "class", "mark "+tone("s", m.Tone), "x1", "0", "x2", "100%", "y1", y, "y2", y)
		w.Element("text", m.Text, "class", "note", "x", "0", "y", y, "dx", "6", "dy", "-5")
		return
	}
	beside := "6"
	if m.Anchor == "end" {
		beside = "-6"
	}
	w.Leaf("line", "class", "mark "+tone("s", m.Tone), "x1", x, "x2", x, "y1", "0", "y2", "100%")
	w.Element("text", m.Text, "class", "note", "x", x, "y", "0", "dx", beside, "dy", strconv.Itoa(m.Down), "text-anchor", m.Anchor)
}

// Fluid draws the chart for a page that has Style and FluidStyle.
func (c Chart) Fluid() markup.Markup {
	d := c.draw(5, 4)
	var w markup.Writer
	w.Open("figure", "class", "chart")
	if d.Title != "" {
		w.Element("figcaption", d.Title)
	}
	w.Open("ul", "class", "legend")
	for _, l := range d.Legend {
		w.Open("li")
		w.Element("i", "", "class", tone("b", l.Tone))
		w.Text(l.Name)
		w.Close("li")
	}
	w.Close("ul")
	height := strconv.Itoa(d.Height)
	w.Open("div", "class", "plot", "role", "img", "aria-label", d.Says)
	w.Open("svg", "class", "gutter", "width", strconv.Itoa(gutter), "height", height, "overflow", "visible", "aria-hidden", "true")
	for _, t := range d.YTicks {
		w.Element("text", t.Text, "x", strconv.Itoa(gutter-8), "y", markup.Percent(t.Y), "dy", "4", "text-anchor", "end")
	}
	w.Close("svg")
	w.Open("svg", "class", "inner", "height", height, "overflow", "visible", "aria-hidden", "true")
	d.content(&w)
	w.Close("svg")
	w.Close("div")
	w.Element("p", d.XTitle, "class", "axis")
	w.Close("figure")
	return w.Done()
}

// FluidStyle is what Fluid needs beside Style.
const FluidStyle = `
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

// WriteFile writes the chart as an SVG document of FileWidth by FileHeight pixels.
func (c Chart) WriteFile(to io.Writer) error {
	d := c.draw(8, 6)
	width, height := strconv.Itoa(FileWidth), strconv.Itoa(FileHeight)
	var w markup.Writer
	w.Open("svg", "xmlns", "http://www.w3.org/2000/svg", "width", width, "height", height, "viewBox", "0 0 "+width+" "+height, "role", "img")
	w.Element("title", d.Title)
	w.Element("desc", d.Says)
	w.Markup("<style>" + Style + "</style>")
	w.Leaf("rect", "width", "100%", "height", "100%", "style", "fill:var(--paper)")
	w.Element("text", d.Title, "class", "note", "x", "16", "y", "26", "style", "font-size:16px;font-weight:600")
	w.Element("text", d.YTitle, "x", "16", "y", "68")
	x := 16.0
	for _, l := range d.Legend {
		w.Leaf("rect", "class", tone("f", l.Tone), "x", markup.Number(x), "y", "38", "width", "11", "height", "11")
		w.Element("text", l.Name, "x", markup.Number(x), "y", "48", "dx", "16")
		x += 40 + 6.6*float64(len([]rune(l.Name))) // as wide as letters are, about
	}
	for _, t := range d.YTicks {
		w.Element("text", t.Text, "x", strconv.Itoa(gutter-8), "y", markup.Number(fileTop+t.Y/100*filePlot), "dy", "4", "text-anchor", "end")
	}
	w.Open("svg", "x", strconv.Itoa(gutter), "y", strconv.Itoa(fileTop), "width", strconv.Itoa(FileWidth-gutter-fileRight), "height", strconv.Itoa(filePlot), "overflow", "visible")
	d.content(&w)
	w.Close("svg")
	w.Element("text", d.XTitle, "x", strconv.Itoa(FileWidth-fileRight), "y", strconv.Itoa(FileHeight-16), "text-anchor", "end")
	w.Close("svg")
	_, err := io.WriteString(to, string(w.Done())+"\n")
	return err
}
