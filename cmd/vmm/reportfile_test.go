package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

func TestReport(t *testing.T) {
	for _, outcome := range []api.Outcome{api.OutcomeCompleted, api.OutcomeCancelled, api.OutcomeInDoubt} {
		for _, jsonToo := range []bool{true, false} {
			dir := t.TempDir()
			path := filepath.Join(dir, "move.json")
			if err := os.WriteFile(path, []byte("an older one"), 0o600); err != nil {
				t.Fatal(err)
			}
			h := newHarness(t)
			h.serve("alpha", stream(nil, moved(outcome)))
			line := []string{"migrate", "alpha", "tcp:127.0.0.1:1", "--report", path}
			if jsonToo {
				line = append(line, "--json")
			}
			h.run(line...)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if err := json.Unmarshal(text, &got); err != nil || got["outcome"] != string(outcome) {
				t.Errorf("%s: got %q, %v in the report; want the outcome", outcome, text, err)
			}
			if jsonToo {
				if diff := cmp.Diff(h.objects()[0], got); diff != "" {
					t.Errorf("%s: the report (-stdout +file):\n%s", outcome, diff)
				}
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
				t.Errorf("%s: got %v, %v in the folder; want the report only", outcome, entries, err)
			}
		}
	}
}

func TestReportOfAMoveThatDoesNotBegin(t *testing.T) {
	h := newHarness(t)
	h.openErr = api.Errorf(api.CodeNoSuchMachine, "vmm ps", "none")
	path := filepath.Join(t.TempDir(), "move.json")
	if got := h.run("migrate", "alpha", "tcp:127.0.0.1:1", "--report", path); got != exitFailed {
		t.Errorf("got exit code %d; want 1", got)
	}
	var got api.Result
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &got)
	}
	if err != nil || got.Outcome != api.OutcomeFailed || got.Error == nil || got.Error.Code != api.CodeNoSuchMachine {
		t.Errorf("got %q, %v; want that there is no such machine", text, err)
	}
}

func TestReportThatCannotBeWritten(t *testing.T) {
	for _, path := range []string{t.TempDir(), "/nonexistent/move.json"} {
		h := newHarness(t)
		h.serve("alpha", stream(nil, moved(api.OutcomeCompleted)))
		if got := h.run("migrate", "alpha", "tcp:127.0.0.1:1", "--json", "--report", path); got != exitFailed {
			t.Errorf("%s: got exit code %d; want 1", path, got)
		}
		got := h.objects()[0]
		if failure, _ := got["error"].(map[string]any); got["outcome"] != "failed" || failure["code"] != "report" || h.waited {
			t.Errorf("%s: got %v; want that nothing was moved for want of the report", path, got)
		}
	}
}
