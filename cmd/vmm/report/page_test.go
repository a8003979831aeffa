package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

var update = flag.Bool("update", false, "write the golden pages")

// load reads a move that was recorded.
func load(t *testing.T, path string) Move {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var m Move
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return m
}

func written(t *testing.T, m Move) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGoldenPages(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.json")
	if err != nil || len(paths) < 2 {
		t.Fatalf("got %v, %v; want recorded moves", paths, err)
	}
	for _, path := range paths {
		got := written(t, load(t, path))
		golden := strings.TrimSuffix(path, ".json") + ".html"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (go test -update writes it, and then make screenshots): (-want +got):\n%s", golden, diff)
		}
	}
}

// TestPageNeedsNothing: no script, and nothing from elsewhere.
func TestPageNeedsNothing(t *testing.T) {
	page := strings.ToLower(written(t, load(t, "testdata/hybrid.json")))
	for _, bad := range []string{"<script", "<img", "<link", "<iframe", "src=", "href=", "url(", "@import", "http:", "https:", "javascript:"} {
		if strings.Contains(page, bad) {
			t.Errorf("got %q in the page; want nothing that reaches beyond it", bad)
		}
	}
	if want := `http-equiv="content-security-policy" content="default-src &#39;none&#39;; style-src &#39;unsafe-inline&#39;;`; !strings.Contains(page, want) {
		t.Errorf("got no %s; want the network forbidden", want)
	}
}

// hostile is a text that would be markup, an attribute's end, a style's end and a script's begin.
const hostile = `"'></style></title></pre></svg><script>alert(1)</script><img src=x onerror=alert(1)>` + "`{{.}}&lt;\x00\u2028"

// TestPageEscapes: what a guest, a peer or a person has named is text wherever it stands.
func TestPageEscapes(t *testing.T) {
	m := load(t, "testdata/hybrid.json")
	plain := written(t, m)
	r := &m.Result
	m.Name, m.Ended, m.Version, m.Request.Target, m.Request.Mode, m.Request.Compress = hostile, hostile, hostile, hostile, hostile, hostile
	r.TLS, r.TargetName, r.Mode, r.ModeRequested, r.PathReason, r.Path, r.Reason = hostile, hostile+"2", hostile, hostile, hostile, hostile, hostile
	r.Compress = api.Compressed{Requested: hostile, Reason: hostile, Codecs: []api.CodecCount{{Codec: hostile, Pages: 1, InBytes: 2, OutBytes: 1}}}
	for _, outcome := range []api.Outcome{api.OutcomeCompleted, api.OutcomeFailed, hostile} {
		r.Outcome, r.Error = outcome, api.Errorf(hostile, hostile, hostile)
		got := strings.ToLower(written(t, m))
		for _, bad := range []string{"<script", "<img", "onerror=alert(1)>", "</style></title>"} {
			if strings.Contains(got, bad) {
				t.Errorf("%q: got %q in the page; want it escaped", outcome, bad)
			}
		}
		for _, element := range []string{"<style", "<pre", "<body"} {
			if n, want := strings.Count(got, element), strings.Count(plain, element); n != want {
				t.Errorf("%q: got %d of %s; want %d", outcome, n, element, want)
			}
		}
		if !strings.Contains(got, "&lt;script&gt;alert(1)&lt;/script&gt;") {
			t.Errorf("%q: the page lacks the text itself", outcome)
		}
	}
}

// TestSections: a page has a section for what there was, and none for what there was not.
func TestSections(t *testing.T) {
	m := load(t, "testdata/precopy.json")
	r := &m.Result
	for id, give := range map[string]func(){
		"network": func() { r.Network = api.Forwarded{Frames: 1} },
		"codecs": func() {
			r.Compress = api.Compressed{Requested: api.CompressAuto, Codecs: []api.CodecCount{{Codec: "zstd", Pages: 2, InBytes: 8192, OutBytes: 2048}}}
		},
		"pulled": func() { r.PulledPages, r.UrgentPages = 10, 1 },
		"faults": func() { r.Faults = api.Faults{Count: 1, Histogram: []api.FaultBucket{{UpToUS: 128, Count: 1}}} },
	} {
		section := `<section id="` + id + `">`
		if got := written(t, m); strings.Contains(got, section) {
			t.Errorf("got a section %s without anything in it", id)
		}
		give()
		if got := written(t, m); !strings.Contains(got, section) {
			t.Errorf("got no section %s; want it", id)
		}
	}
}

// TestPageOfAnything: results without numbers, and with absurd ones, are pages too.
func TestPageOfAnything(t *testing.T) {
	var many []api.Round
	for range 512 {
		many = append(many, api.Round{Pages: 1 << 63, Bytes: 1 << 63, MS: 1e300, DirtiedPages: 1 << 63, SentBitsPerS: 1e308, DirtyBitsPerS: 5e-324})
	}
	for name, r := range map[string]api.Result{
		"nothing":     {},
		"not begun":   {Outcome: api.OutcomeFailed, Error: api.Errorf("no_such_machine", "vmm ps", "none")},
		"no total":    {Outcome: api.OutcomeCompleted, Phases: api.Phases{PushMS: 5, StopMS: 1}, Rounds: []api.Round{{}, {}}},
		"absurd":      {Outcome: api.OutcomeCompleted, TotalMS: 1e-300, DowntimeMS: -1, Rounds: many, Phases: api.Phases{PushMS: 1e308, StopMS: 1e308, PullMS: -5}},
		"faults only": {Outcome: api.OutcomeCompleted, Faults: api.Faults{Count: 1, Histogram: []api.FaultBucket{{UpToUS: 0, Count: 1 << 63}, {UpToUS: 1e308}}}},
	} {
		got := written(t, Move{Name: "alpha", Result: r, Samples: Samples{All: []api.Progress{{Phase: "push", ForecastDowntimeMS: 1e308}, {Phase: "push", ForecastDowntimeMS: 5e-324}, {Phase: "pull"}}}})
		if !strings.Contains(got, "</html>") || strings.Contains(got, "NaN") || len(got) > 1<<20 {
			t.Errorf("%s: got a page of %d bytes; want a whole one of numbers", name, len(got))
		}
	}
}

func FuzzPage(f *testing.F) {
	f.Add([]byte(`{"Result":{"outcome":"completed","total_ms":3,"phases":{"push_ms":2},"rounds":[{"pages":3,"ms":1},{}]}}`))
	for _, name := range []string{"precopy", "hybrid"} {
		text, err := os.ReadFile("testdata/" + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var m Move
		if json.Unmarshal(text, &m) != nil {
			return
		}
		if page := strings.ToLower(written(t, m)); strings.Contains(page, "<script") {
			t.Errorf("got a script in the page of %q", text)
		}
	})
}
