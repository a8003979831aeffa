package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/vmm/supervisor/identity"
)

// certsCall is what the command asked for.
type certsCall struct {
	Dir   string
	Hosts [][]string
	Valid time.Duration
}

func TestCerts(t *testing.T) {
	until := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	want := certsCall{"lab", [][]string{{"a.example", "192.0.2.7"}, {"b"}}, 48 * time.Hour}
	args := strings.Fields("certs lab --host a.example,192.0.2.7 --host b --valid 48h")
	h := newHarness(t)
	h.issued = []identity.Issued{{Names: []string{"b"}, Dir: "lab/b", Expires: until}}
	if code := h.run(args...); code != exitOK {
		t.Errorf("got exit code %d, %s; want 0", code, h.stderr)
	}
	if diff := cmp.Diff([]any{want}, h.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if got, want := h.stdout.String(), "lab/b  for b, until 2030-01-02 03:04:05 UTC\n"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
	h = newHarness(t)
	h.issued = []identity.Issued{{Names: []string{"b"}, Dir: "lab/b", Expires: until}}
	h.run(append(args, "--json")...)
	wantJSON := []map[string]any{{"hosts": []any{map[string]any{"names": []any{"b"}, "dir": "lab/b", "expires": "2030-01-02T03:04:05Z"}}}}
	if diff := cmp.Diff(wantJSON, h.objects()); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
}
