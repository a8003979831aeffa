package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// tell serves events to whoever asks.
func tell(t *testing.T, events ...api.Event) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		stream, err := api.NewEventStream(w)
		for _, e := range events {
			if err == nil {
				err = stream.Send(e)
			}
		}
		if err != nil {
			t.Error(err)
		}
	}
}

func TestEventsCommand(t *testing.T) {
	code := 0
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.Local)
	events := []api.Event{
		{Kind: api.EventState, At: at, Name: "alpha", State: api.StateMigrating},
		{Kind: api.EventProgress, At: at, Name: "alpha", Progress: &api.Progress{Phase: "push", Round: 2, SentBytes: 3 << 20, RemainingBytes: 1 << 20}},
		{Kind: api.EventMissed, At: at, Name: "alpha", Missed: 4},
		{Kind: api.EventResult, At: at, Name: "alpha", Result: &api.Result{Outcome: api.OutcomeCompleted, Mode: "precopy", TotalMS: 100, DowntimeMS: 2}},
		{Kind: api.EventEnded, At: at, Name: "alpha", Exit: &code, Reason: "moved\x1b[2J"},
	}
	h := newHarness(t)
	h.serve("alpha", tell(t, events...))
	if got := h.run("events", "alpha"); got != 0 {
		t.Fatalf("got exit %d; want 0\n%s", got, h.stderr)
	}
	for _, want := range []string{
		"12:00:00 alpha migrating\n", "push: round 2, 3.0 MiB sent, 1.0 MiB left\n", "4 events were missed\n", "completed (precopy)", `ended with 0: moved\x1b[2J`,
	} {
		if !strings.Contains(h.stdout.String(), want) {
			t.Errorf("got no %q in\n%s", want, h.stdout)
		}
	}
	h = newHarness(t)
	h.serve("alpha", tell(t, events...))
	if got := h.run("events", "alpha", "--json"); got != 0 {
		t.Fatalf("got exit %d; want 0", got)
	}
	if all := h.objects(); len(all) != len(events) || all[4]["kind"] != "ended" {
		t.Errorf("got %v; want the events", all)
	}
	h = newHarness(t) // a supervisor that is killed says no last word
	h.serve("alpha", tell(t, events[:2]...))
	if got := h.run("events", "alpha", "--json"); got != 1 {
		t.Errorf("got exit %d of a stream that breaks off; want 1", got)
	}
}
