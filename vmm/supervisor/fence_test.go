package supervisor

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vmm/record"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// newDeparture makes a move from here to an address where nobody listens.
func newDeparture(t *testing.T) *departure {
	t.Helper()
	d := &departure{
		query:  migration.Query{Move: migration.NewMoveID(), Epoch: firstEpoch},
		target: place{address: api.Address{Host: "127.0.0.1", Port: 1}}, ledger: ledger{own: t.TempDir()}, log: slog.New(slog.DiscardHandler),
	}
	f, err := record.Create(d.ledger.own, record.Source, record.Record{Move: d.query.Move, Epoch: d.query.Epoch, Name: "alpha"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return d
}

// hook writes a fencing hook, and returns its path.
func hook(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOnlyExitCodeZeroFences(t *testing.T) {
	for name, tc := range map[string]struct {
		script string
		fenced bool
	}{
		"exit 0":             {"exit 0", true},
		"exit 0, unread":     {"exec <&-; exit 0", true},
		"exit 1":             {"exit 1", false},
		"killed":             {"kill -9 $$", false},
		"no such program":    {"exec /nonexistent/fence", false},
		"a child lives on":   {"sleep 300 >&- 2>&- <&- & exit 0", true},
		"says so, and fails": {"echo fenced; exit 3", false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDeparture(t)
			f := newFencing(hook(t, tc.script), os.Stderr, d)
			defer f.stop()
			if err := f.run(); (err == nil) != tc.fenced {
				t.Errorf("got %v; want fenced %v", err, tc.fenced)
			}
		})
	}
}

func TestHookIsToldTheMove(t *testing.T) {
	d := newDeparture(t)
	said := filepath.Join(t.TempDir(), "said")
	f := newFencing(hook(t, "cat >"+said), os.Stderr, d)
	defer f.stop()
	if err := f.run(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"move_id": d.query.Move.String(), "epoch": float64(d.query.Epoch), "role": "source"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("standard input (-want +got):\n%s", diff)
	}
}

// TestHookEndsWithItsMove: a hook that hangs is killed.
func TestHookEndsWithItsMove(t *testing.T) {
	d := newDeparture(t)
	path := filepath.Join(t.TempDir(), "up")
	f := newFencing(hook(t, "mkfifo "+path+"; sleep 300 & echo up >"+path+"; wait"), os.Stderr, d)
	ended := make(chan error, 1)
	go func() { ended <- f.run() }()
	for { // the pipe is made by the hook
		if text, err := os.ReadFile(path); err == nil && strings.Contains(string(text), "up") {
			break
		}
	}
	f.stop()
	if err := <-ended; err == nil {
		t.Error("got nil from a hook that was killed; want an error")
	}
}

// TestWhatWasLearntFirstHolds: neither a hook nor a person undoes what the target
// proved, nor the target what they decided.
func TestWhatWasLearntFirstHolds(t *testing.T) {
	ctx := context.Background()
	for _, tc := range []struct {
		name       string
		first      migration.Answer
		by         record.By
		then, want migration.Answer
	}{
		{"started, then fenced", migration.Started, record.ByTarget, migration.NotStarted, migration.Started},
		{"lost, then fenced", migration.Lost, record.ByTarget, migration.NotStarted, migration.Started},
		{"fenced, then started", migration.NotStarted, record.ByFence, migration.Started, migration.NotStarted},
		{"a person, then lost", migration.NotStarted, record.ByPerson, migration.Lost, migration.NotStarted},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDeparture(t)
			if got := d.ask(ctx); got != migration.Unknown {
				t.Fatalf("got %v where nobody answers; want unknown", got)
			}
			if got := d.conclude(tc.first, tc.by); got != tc.first {
				t.Fatalf("got %v; want %v", got, tc.first)
			}
			if got := d.conclude(tc.then, record.ByFence); got != tc.want {
				t.Errorf("got %v; want %v", got, tc.want)
			}
			if got := d.ask(ctx); got != tc.want {
				t.Errorf("asked again: got %v; want %v", got, tc.want)
			}
			d.end()
			_, err := record.Find(d.ledger.own, record.Source, d.query.Move)
			if kept := err == nil; kept != (tc.by != record.ByTarget) {
				t.Errorf("record kept: got %v (%v); want that of a hook or a person only", kept, err)
			}
		})
	}
}

// TestWordThatCannotBeRecordedDoesNotCount: unless the target's own record proves it.
func TestWordThatCannotBeRecordedDoesNotCount(t *testing.T) {
	d := newDeparture(t)
	d.end() // the record is gone
	for by, want := range map[record.By]migration.Answer{
		record.ByTarget: migration.NotStarted, record.ByFence: migration.Unknown, record.ByPerson: migration.Unknown,
	} {
		if got := d.conclude(migration.NotStarted, by); got != want {
			t.Errorf("%v: got %v; want %v", by, got, want)
		}
	}
}

func TestSharedRecordDecidesWithoutTheTarget(t *testing.T) {
	d := newDeparture(t)
	d.ledger.shared = t.TempDir()
	f, err := record.Create(d.ledger.shared, record.Target, record.Record{Move: d.query.Move, Epoch: d.query.Epoch})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := d.ask(context.Background()); got != migration.NotStarted {
		t.Errorf("got %v; want not_started", got)
	}
	if r, err := record.Read(f); err != nil || r.State != record.Tombstone {
		t.Errorf("got %v, %v in the shared record; want a tombstone", r.State, err)
	}
}
