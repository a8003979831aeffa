package markup

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestWriter(t *testing.T) {
	var w Writer
	w.Open("p", "class", "a b", "title", "", "id", `"x'`)
	w.Text("1 < 2 & \x00\xff")
	w.Close("p")
	w.Leaf("line", "x1", Percent(12.5))
	w.Element("b", "<i>")
	w.Markup("<hr>")
	want := Markup(`<p class="a b" id="&#34;x&#39;">1 &lt; 2 &amp; ` + "\ufffd\ufffd" + `</p><line x1="12.5%"/><b>&lt;i&gt;</b><hr>`)
	if got := w.Done(); got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

// FuzzText: a text is one text again when it is read, whatever it is and wherever it stands.
func FuzzText(f *testing.F) {
	f.Add(`"'><script>&amp;`)
	f.Fuzz(func(t *testing.T, text string) {
		var w Writer
		w.Element("p", text, "title", text)
		var names, attributes int
		for d := xml.NewDecoder(strings.NewReader(string(w.Done()))); ; {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				if strings.Contains(err.Error(), "illegal character code") { // XML has fewer characters than HTML
					return
				}
				t.Fatalf("%q: %v", text, err)
			}
			if e, ok := token.(xml.StartElement); ok {
				names, attributes = names+1, attributes+len(e.Attr)
			}
		}
		if names != 1 || attributes > 1 {
			t.Errorf("%q: got %d elements with %d attributes; want one", text, names, attributes)
		}
	})
}
