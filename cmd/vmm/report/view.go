package report

import (
	"fmt"

	"github.com/ferryvmm/ferry/internal/chart"
	"github.com/ferryvmm/ferry/internal/markup"
)

// policy of the page: it may do nothing but show itself.
const policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

// page is the page as it is written, part by part.
type page struct {
	markup.Writer
	*Move
}

// document writes all of it. json is what is folded away at its end.
func (p *page) document(json string) {
	p.Markup("<!DOCTYPE html>\n")
	p.Open("html", "lang", "en")
	p.Open("head")
	p.Markup(`<meta charset="utf-8">`)
	p.Open("meta", "http-equiv", "Content-Security-Policy", "content", policy)
	p.Markup(`<meta name="viewport" content="width=device-width, initial-scale=1">`)
	p.Open("meta", "name", "generator", "content", "Ferry "+p.Version)
	p.Element("title", p.headline())
	p.Markup("<style>" + chart.Style + chart.FluidStyle + markup.Markup(css) + "</style>")
	p.Close("head")
	p.Markup("\n")
	p.Open("body")
	p.Open("main")
	p.header()
	p.timeline()
	p.Open("div", "class", "two")
	for _, c := range p.panels() {
		p.section(c.ID, c.Title, c.Says, func() { p.Markup(c.Chart) })
	}
	p.table("pages", "Pages by kind", "", p.kinds())
	p.table("pulled", "Pages that followed", "", p.pulled())
	p.table("channels", "Channels", "", p.channels())
	p.table("codecs", "Compression", "Bars are what was left of the pages.", p.codecs())
	p.table("network", "Network frames", "What came for the guest at its source while it was on its way.", p.frames())
	p.table("asked", "What was asked for", "", p.asked())
	p.Close("div")
	p.roundTable()
	p.Open("details")
	p.Element("summary", "The result as vmm migrate --json prints it")
	p.Element("pre", json)
	p.Close("details")
	p.Element("footer", "Written by vmm "+p.Version+". Times are the source's clock; the downtime is from the first stop of a vCPU to the news that the guest runs.")
	p.Close("main")
	p.Markup("\n</body>\n</html>\n")
}

// header says what became of the guest, and why it took what it took.
func (p *page) header() {
	p.Open("header")
	p.Element("span", string(p.Result.Outcome), "class", "badge "+string(p.Result.Outcome))
	where := " " + p.Name + " → " + p.Request.Target
	if p.Ended != "" {
		where += " · " + p.Ended
	}
	p.Element("span", where, "class", "dim")
	p.Markup("\n")
	p.Element("h1", p.headline()+".")
	p.Markup("\n")
	p.Element("p", p.cause(), "class", "why")
	if stood := p.stood(); stood != "" {
		p.Element("p", stood, "class", "why")
	}
	p.Close("header")
	if notes := p.notes(); len(notes) > 0 {
		p.Open("ul", "class", "notes")
		for _, n := range notes {
			class := ""
			if n.Bad {
				class = "bad"
			}
			p.Element("li", n.Text, "class", class)
		}
		p.Close("ul")
	}
	if tiles := p.tiles(); len(tiles) > 0 {
		p.Open("div", "class", "tiles")
		for _, t := range tiles {
			p.Open("div", "class", "tile")
			p.Element("span", t.Name)
			p.Element("b", t.Value)
			p.Element("span", t.Beside)
			p.Close("div")
		}
		p.Close("div")
	}
	p.Markup("\n")
}

// section writes a titled part of the page.
func (p *page) section(id, title, says string, inside func()) {
	p.Open("section", "id", id)
	p.Element("h2", title)
	if says != "" {
		p.Element("p", says, "class", "says")
	}
	inside()
	p.Close("section")
	p.Markup("\n")
}

// timeline draws where the time went, and the downtime magnified.
func (p *page) timeline() {
	all, down := strip("The time of the move", p.parts(), p.Result.TotalMS), strip("The downtime, magnified", p.downtime(), p.Result.DowntimeMS)
	if len(all.Parts) == 0 {
		return
	}
	p.section("timeline", "Where the time went", timeText(p.Result.TotalMS)+" from the request to the end, to scale; shades of blue are rounds.", func() {
		p.strip(all)
		if len(down.Parts) > 0 {
			from, to := all.at("stop")
			p.Open("svg", "class", "zoom", "viewBox", "0 0 1000 100", "preserveAspectRatio", "none", "aria-hidden", "true")
			p.Leaf("polygon", "points", markup.Number(10*from)+",0 "+markup.Number(10*to)+",0 1000,100 0,100")
			p.Close("svg")
			p.strip(down)
			p.Element("p", "The downtime of "+timeText(p.Result.DowntimeMS)+", magnified.", "class", "says")
		}
		p.Open("div", "class", "two")
		p.legend("The move", strip("", sum(p.parts()), p.Result.TotalMS))
		if len(down.Parts) > 0 {
			p.legend("The downtime", down)
		}
		p.Close("div")
	})
}

func (p *page) strip(b bar) {
	p.Open("svg", "class", "strip", "role", "img", "aria-label", b.Says)
	for _, s := range b.Parts {
		class := fmt.Sprintf("f%d", s.Tone)
		if s.Pale {
			class += " pale"
		}
		p.Open("svg", "x", markup.Percent(s.X), "width", markup.Percent(s.W), "height", "100%")
		p.Leaf("rect", "class", class, "width", "100%", "height", "100%")
		if s.Label != "" {
			p.Element("text", s.Name, "class", s.Label, "x", "8", "y", "50%", "dy", "4")
		}
		p.Element("title", s.Name+": "+timeText(s.MS)+", "+s.Of)
		p.Close("svg")
	}
	p.Close("svg")
}

func (p *page) legend(title string, b bar) {
	p.Open("div")
	p.Element("h2", title)
	p.Open("ul", "class", "parts")
	for _, s := range b.Parts {
		p.Open("li")
		p.Element("i", "", "class", fmt.Sprintf("b%d", s.Tone))
		p.Text(s.Name + " ")
		p.Element("b", timeText(s.MS))
		p.Text(" ")
		p.Element("span", s.Of, "class", "dim")
		p.Element("small", s.Says)
		p.Close("li")
	}
	p.Close("ul")
	p.Close("div")
}

// table writes a section of rows, if there are any.
func (p *page) table(id, title, says string, rows []row) {
	if len(rows) == 0 {
		return
	}
	p.section(id, title, says, func() {
		p.Open("table", "class", "rows")
		for _, r := range rows {
			p.Open("tr")
			p.Element("td", r.Name)
			p.Open("td")
			p.Text(r.Value)
			if r.Beside != "" {
				p.Element("small", r.Beside)
			}
			if r.Share >= 0 {
				p.Open("svg", "aria-hidden", "true")
				p.Leaf("rect", "class", "track", "width", "100%", "height", "100%", "rx", "3")
				p.Leaf("rect", "class", fmt.Sprintf("f%d", r.Tone), "width", markup.Percent(r.Share), "height", "100%", "rx", "3")
				p.Close("svg")
			}
			p.Close("td")
			p.Close("tr")
		}
		p.Close("table")
	})
}

// fewRounds are shown without being asked for.
const fewRounds = 12

// roundTable has every round in numbers.
func (p *page) roundTable() {
	rounds := p.Result.Rounds
	if len(rounds) == 0 {
		return
	}
	if len(rounds) <= fewRounds {
		p.Markup("<details open>")
	} else {
		p.Open("details")
	}
	p.Element("summary", "Rounds")
	p.Open("div", "class", "wide")
	p.Open("table", "class", "sheet")
	p.Open("tr")
	for _, name := range []string{"round", "pages", "sent", "time", "rate", "dirty at its end", "guest wrote"} {
		p.Element("th", name)
	}
	p.Close("tr")
	for i, r := range rounds {
		p.Markup("\n")
		p.Open("tr")
		for _, cell := range []string{
			fmt.Sprint(i), countText(r.Pages), sizeText(float64(r.Bytes)), timeText(r.MS), bitsText(r.SentBitsPerS), countText(r.DirtiedPages) + " pages", bitsText(r.DirtyBitsPerS),
		} {
			p.Element("td", cell)
		}
		p.Close("tr")
	}
	p.Close("table")
	p.Close("div")
	p.Close("details")
	p.Markup("\n")
}
