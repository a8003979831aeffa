package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/tests/drive"
)

// TestReportPage moves a guest in every mode, and has each move write its page.
func TestReportPage(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: "fill=16 wss=8 rate=4 order=rand"})
	for mode, sections := range map[string][]string{
		"precopy": {"rates", "pages", "channels"}, "stopcopy": {"pages"}, "postcopy": {"pulled"}, "hybrid": {"rates", "pulled"},
	} {
		path := filepath.Join(t.TempDir(), mode+".html")
		m := completes(t, ctx, trip, "--mode", mode, "--report", path)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		page := string(text)
		for _, id := range append([]string{"timeline", "asked"}, sections...) {
			if !strings.Contains(page, `<section id="`+id+`">`) {
				t.Errorf("%s: got no section %s in the page; want it", mode, id)
			}
		}
		if got := regexp.MustCompile(`<h1>alpha moved in \S+ m?s and stood still for \S+ [mµ]?s\.</h1>\s*<p class="why">\S+ \S* ?% of the time`).FindString(page); got == "" {
			t.Errorf("%s: got no headline with a cause; want one of a move of %.0f ms in\n%.3000s", mode, m.TotalMS, page)
		}
		if strings.Contains(page, "NaN") || strings.Contains(page, "<script") || !strings.HasSuffix(page, "</html>\n") {
			t.Errorf("%s: got a page that is not whole, or not only numbers", mode)
		}
	}
	stop(t, ctx, trip)
}
