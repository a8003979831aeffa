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

// headline is how a page says what became of a move, and why it took what it took. The times are anything.
var headline = regexp.MustCompile(`<h1>alpha (moved|was handed over|runs at its target after)[^<]*stood still for \S+ (s|ms|µs)[^<]*\.</h1>\s*<p class="why">(\S+ % of the time \(|All of the time)`)

// reports looks at the page of a move, and returns where it is written.
func reports(t *testing.T, mode string, sections ...string) (path string, look func()) {
	t.Helper()
	path = filepath.Join(t.TempDir(), mode+".html")
	return path, func() {
		t.Helper()
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
		if !headline.MatchString(page) {
			_, page, _ := strings.Cut(page, "<body>")
			t.Errorf("%s: got no headline with a cause in\n%.1500s", mode, page)
		}
		if strings.Contains(page, "NaN") || strings.Contains(page, "<script") || !strings.HasSuffix(page, "</html>\n") {
			t.Errorf("%s: got a page that is not whole, or not only numbers", mode)
		}
	}
}

// TestReportPage moves a guest in every mode, and has each move write its page.
func TestReportPage(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: "fill=16 wss=8 rate=4 order=rand"})
	for mode, sections := range map[string][]string{
		"precopy": {"rates", "pages", "channels"}, "stopcopy": {"pages"}, "postcopy": {"pulled"}, "hybrid": {"rates", "pulled"}, "auto": {"rates"},
	} {
		path, look := reports(t, mode, sections...)
		completes(t, ctx, trip, "--mode", mode, "--report", path)
		look()
	}
	// The source of remote stays until the rest is asked for; the page is there before.
	path, look := reports(t, "remote")
	from, to := w.Sites[trip.At], w.Sites[1-trip.At]
	target, err := to.Receive(trip.Observer, "target")
	if err != nil {
		t.Fatal(err)
	}
	if m, err := from.Migrate(ctx, "alpha", target.Listening, "--mode", "remote", "--report", path); err != nil || m.Outcome != "completed" {
		t.Fatalf("got %+v, %v; want it completed", m, err)
	}
	look()
	exec(t, ctx, to, 0, "migrate", "alpha", "--pull")
	if code, err := trip.Process.Wait(ctx); err != nil || code != 0 {
		t.Errorf("got exit %d, %v at the source; want 0", code, err)
	}
	trip.Arrived(target)
	stop(t, ctx, trip)
}

// TestReportPageOfALocalMove: a guest that is handed over has a page, too.
func TestReportPageOfALocalMove(t *testing.T) {
	ctx := within(t, time.Minute)
	_, turns, socket := upgraded(t)
	trip := boot(t, ctx, turns, drive.Guest{Cmdline: "fill=4", Receive: listens(socket)})
	path, look := reports(t, "local")
	completes(t, ctx, trip, "--report", path)
	look()
	stop(t, ctx, trip)
}
