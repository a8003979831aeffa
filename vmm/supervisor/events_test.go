package supervisor

import (
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// teller serves the events of a supervisor without a machine.
func teller(t *testing.T) (*supervisor, *api.Client) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &supervisor{name: &name{name: "alpha"}, changed: make(chan struct{}), state: api.StateRunning}
	served := make(chan struct{})
	h := &http.Server{Handler: http.HandlerFunc((&server{s: s}).events)}
	go func() {
		defer close(served)
		_ = h.Serve(l)
	}()
	t.Cleanup(func() {
		h.Close()
		<-served
	})
	return s, api.NewClient(path)
}

func TestEvents(t *testing.T) {
	s, client := teller(t)
	result := &api.Result{Outcome: api.OutcomeCompleted, Mode: api.ModePrecopy, Rounds: []api.Round{}}
	progress := &api.Progress{Phase: "push", SentBytes: 7}
	code := 0
	want := []api.Event{
		{Kind: api.EventState, State: api.StateRunning},
		{Kind: api.EventState, State: api.StateMigrating},
		{Kind: api.EventProgress, State: api.StateMigrating, Progress: progress},
		{Kind: api.EventResult, State: api.StateMigrating, Result: result},
		{Kind: api.EventEnded, State: api.StateMigrating, Exit: &code, Reason: "moved"},
	}
	var got []api.Event
	for e, err := range client.Events(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
		if len(got) > 1 {
			continue
		}
		s.setState(api.StateMigrating) // it listens now
		s.setState(api.StateMigrating)
		s.mu.Lock()
		s.events.tell(s.eventLocked(api.Event{Kind: api.EventProgress, Progress: progress}))
		s.mu.Unlock()
		s.conclude(&transit{}, *result)
		s.tellEnd(Exit{Code: code, Reason: "moved"})
		s.setState(api.StateLost) // too late
	}
	for i := range want {
		want[i].Name = "alpha"
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(api.Event{}, "At")); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if _, err := first(client.Events(t.Context())); err == nil {
		t.Error("got events of a machine that has ended; want none")
	}
}

// first is the first of a sequence of events.
func first(events func(func(api.Event, error) bool)) (e api.Event, err error) {
	for e, err = range events {
		break
	}
	return e, err
}

// TestEventsOfWhoDoesNotRead wants what is told to somebody who reads nothing bounded, counted, and nobody held up; the last word is for all.
func TestEventsOfWhoDoesNotRead(t *testing.T) {
	var b broadcast
	slow, quick := b.listen(api.Event{Kind: api.EventState}), b.listen(api.Event{Kind: api.EventState})
	const more = 1000
	read := 0
	for range more {
		b.tell(api.Event{Kind: api.EventProgress})
		for len(quick.queue) > 0 {
			<-quick.queue
			read++
		}
	}
	if read != more+1 || b.lost(quick) != 0 {
		t.Errorf("got %d events read and some lost; want all %d", read, more+1)
	}
	b.tell(api.Event{Kind: api.EventEnded})
	if n := len(slow.queue); n != maxEvents {
		t.Errorf("got %d events kept; want %d", n, maxEvents)
	}
	if got, want := b.lost(slow), uint64(more+2-maxEvents); got != want {
		t.Errorf("got %d events lost; want %d", got, want)
	}
	var last api.Event
	for e := range slow.queue {
		last = e
	}
	if last.Kind != api.EventEnded {
		t.Errorf("got %q as the last event; want %q", last.Kind, api.EventEnded)
	}
}

func TestListenersAreFew(t *testing.T) {
	var b broadcast
	var all []*listener
	for range maxListeners {
		all = append(all, b.listen(api.Event{}))
	}
	if l := b.listen(api.Event{}); l != nil {
		t.Errorf("got a listener more than %d; want none", maxListeners)
	}
	b.leave(all[3])
	if l := b.listen(api.Event{}); l == nil {
		t.Error("got no listener where one has left; want it")
	}
}
