// Package markup writes HTML and SVG in which every text is text: names of elements and attributes are the program's own, and whatever else is written is escaped. It is not
// for what stands in scripts, styles or addresses. (Package html/template would be the usual choice; but text/template has the linker keep every method of a program, which
// costs each process of each machine more than a MiB.)
package markup

import (
	"strconv"
	"strings"
)

// Markup is text that was written by a Writer, or is the program's own.
type Markup string

// Writer writes markup. The zero Writer is empty and ready.
type Writer struct{ b strings.Builder }

// escaper makes a text one of HTML and XML alike, between tags and in quoted attributes.
var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;", "\x00", "\ufffd")

// Text writes text.
func (w *Writer) Text(text string) {
	escaper.WriteString(&w.b, strings.ToValidUTF8(text, "\ufffd")) //nolint:errcheck // a Builder takes all
}

// Markup writes what is markup already.
func (w *Writer) Markup(m Markup) { w.b.WriteString(string(m)) }

// Open begins an element. Attributes are names and values in turn; those without a value are left out.
// Precondition: tag and names are constants of the program.
func (w *Writer) Open(tag string, attributes ...string) {
	w.begin(tag, attributes)
	w.b.WriteByte('>')
}

// Close ends an element.
func (w *Writer) Close(tag string) { w.b.WriteString("</" + tag + ">") }

// Element writes a whole element with a text in it.
func (w *Writer) Element(tag, text string, attributes ...string) {
	w.Open(tag, attributes...)
	w.Text(text)
	w.Close(tag)
}

// Leaf writes an element of SVG that has nothing in it.
func (w *Writer) Leaf(tag string, attributes ...string) {
	w.begin(tag, attributes)
	w.b.WriteString("/>")
}

func (w *Writer) begin(tag string, attributes []string) {
	w.b.WriteString("<" + tag)
	for i := 0; i+1 < len(attributes); i += 2 {
		if attributes[i+1] != "" {
			w.b.WriteString(" " + attributes[i] + `="`)
			w.Text(attributes[i+1])
			w.b.WriteByte('"')
		}
	}
}

// Done returns what was written.
func (w *Writer) Done() Markup { return Markup(w.b.String()) }

// Number is a number as an attribute has it.
func Number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// Percent is a number as an attribute has it, in percent of the room that there is.
func Percent(v float64) string { return Number(v) + "%" }
