package record

import (
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

var move = [16]byte{1, 2, 3}

// create makes a record that is closed at the test's end.
func create(t *testing.T, dir string, r Record) *os.File {
	t.Helper()
	f, err := Create(dir, Target, r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// open opens the record anew.
func open(t *testing.T, dir string) *os.File {
	t.Helper()
	f, err := Open(dir, Target, move)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestRecordIsDecidedOnce(t *testing.T) {
	for _, tc := range []struct{ first, second State }{
		{Started, Tombstone}, {Tombstone, Started}, {Tombstone, Ended},
	} {
		t.Run(tc.first.String()+" "+tc.second.String(), func(t *testing.T) {
			dir := t.TempDir()
			f := create(t, dir, Record{Move: move, Epoch: 7, Name: "alpha"})
			if err := Decide(f, tc.first, ByPerson); err != nil {
				t.Fatal(err)
			}
			if err := Decide(f, tc.first, ByTarget); err != nil {
				t.Errorf("deciding the same again: %v", err)
			}
			if err := Decide(f, tc.second, ByTarget); !errors.Is(err, ErrDecided) {
				t.Errorf("deciding otherwise: got %v; want ErrDecided", err)
			}
			got, err := Find(dir, Target, move)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(Record{Move: move, Epoch: 7, State: tc.first, By: ByPerson, Name: "alpha"}, got); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
		})
	}
}

// TestOneOfTwoDecides has two open file descriptions, as two hosts have on
// shared storage, decide at once: exactly one succeeds.
func TestOneOfTwoDecides(t *testing.T) {
	for range 200 {
		dir := t.TempDir()
		create(t, dir, Record{Move: move})
		var wg sync.WaitGroup
		var errs [2]error
		for i, s := range []State{Started, Tombstone} {
			f := open(t, dir)
			wg.Go(func() { errs[i] = Decide(f, s, ByTarget) })
		}
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("got %v and %v; want one decision", errs[0], errs[1])
		}
		if err := errors.Join(errs[:]...); !errors.Is(err, ErrDecided) {
			t.Fatalf("got %v; want ErrDecided", err)
		}
	}
}

func TestEndedIsStartedForWhoAsks(t *testing.T) {
	f := create(t, t.TempDir(), Record{Move: move})
	if err := Decide(f, Ended, ByTarget); !errors.Is(err, ErrDecided) {
		t.Errorf("got %v of an end without a start; want ErrDecided", err)
	}
	for _, s := range []State{Started, Ended, Started} {
		if err := Decide(f, s, ByTarget); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := Read(f); err != nil || r.State != Ended {
		t.Errorf("got %v, %v; want Ended", r.State, err)
	}
}

func TestNoteDoesNotUndo(t *testing.T) {
	f := create(t, t.TempDir(), Record{Move: move})
	if err := errors.Join(Note(f, Started, ByTarget), Note(f, Started, ByPerson)); err != nil {
		t.Fatal(err)
	}
	if r, err := Read(f); err != nil || r.State != Started || r.By != ByTarget {
		t.Errorf("got %+v, %v; want it started, by the target", r, err)
	}
	if err := Note(f, Tombstone, ByTarget); !errors.Is(err, ErrDecided) {
		t.Errorf("got %v of another decision; want ErrDecided", err)
	}
}

func TestLivingAsLongAsADuplicateIsOpen(t *testing.T) {
	dir := t.TempDir()
	f := create(t, dir, Record{Move: move})
	fd, err := unix.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name string
		do   func() error
		want bool
	}{
		{"made", func() error { return nil }, true},
		{"the first is closed", f.Close, true},
		{"both are closed", func() error { return unix.Close(fd) }, false},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if got, err := Living(open(t, dir)); err != nil || got != step.want {
			t.Errorf("%s: got %v, %v; want %v", step.name, got, err, step.want)
		}
		list, err := List(dir, Target)
		if err != nil || len(list) != 1 || list[0].Living != step.want || list[0].Move != move {
			t.Errorf("%s: got %+v, %v; want one record, living %v", step.name, list, err, step.want)
		}
	}
}

func TestLockedRecordIsBusy(t *testing.T) {
	dir := t.TempDir()
	f := create(t, dir, Record{Move: move})
	if err := lock(open(t, dir)); err != nil {
		t.Fatal(err)
	}
	if err := Decide(f, Started, ByTarget); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v; want ErrBusy", err)
	}
}

func TestSidesAreApart(t *testing.T) {
	dir := t.TempDir()
	create(t, dir, Record{Move: move})
	f, err := Create(dir, Source, Record{Move: move, Name: "alpha", Address: "tcp:[::1]:4444"})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := errors.Join(Hand(f, true), Describe(f, "beta", "tcp:b:1"), Decide(f, Tombstone, ByFence)); err != nil {
		t.Fatal(err)
	}
	got, err := List(dir, Source)
	want := []Found{{Record{Move: move, State: Tombstone, By: ByFence, Handed: true, Name: "beta", Address: "tcp:b:1"}, true}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("records (-want +got), %v:\n%s", err, diff)
	}
	if err := errors.Join(Remove(dir, Source, move), Remove(dir, Source, move)); err != nil {
		t.Error(err)
	}
	if r, err := Find(dir, Target, move); err != nil || r.State != Reserved {
		t.Errorf("got %+v, %v of the other side; want it Reserved", r, err)
	}
}

func TestMoveIDIsNotUsedTwice(t *testing.T) {
	dir := t.TempDir()
	create(t, dir, Record{Move: move})
	if _, err := Create(dir, Target, Record{Move: move}); !errors.Is(err, os.ErrExist) {
		t.Errorf("got %v; want it to exist", err)
	}
}

func TestNoRecordAndDamagedRecordProveNothing(t *testing.T) {
	dir := t.TempDir()
	if _, err := Find(dir, Target, move); !errors.Is(err, ErrNone) {
		t.Errorf("got %v; want ErrNone", err)
	}
	b := Record{Move: move, Epoch: 1, State: Started}.Encode()
	for i := range b {
		b[i] ^= 0x10
		if _, err := Decode(b[:]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d altered: got %v; want ErrCorrupt", i, err)
		}
		b[i] ^= 0x10
	}
	if err := os.WriteFile(path(dir, Target, move), b[:100], 0o600); err != nil {
		t.Fatal(err)
	}
	f := open(t, dir)
	if err := Decide(f, Tombstone, ByTarget); !errors.Is(err, ErrCorrupt) {
		t.Errorf("truncated: got %v; want ErrCorrupt", err)
	}
	if list, err := List(dir, Target); err != nil || len(list) != 0 {
		t.Errorf("truncated: got %+v, %v; want none", list, err)
	}
}

// TestVersion1 reads a record as an older vmm wrote it.
func TestVersion1(t *testing.T) {
	b, err := os.ReadFile("testdata/v1.move")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(b)
	if diff := cmp.Diff(Record{Move: move, Epoch: 7, State: Started}, got); err != nil || diff != "" {
		t.Errorf("record (-want +got), %v:\n%s", err, diff)
	}
}

// TestTLS: the folder is kept beside an address as far as it fits, and else not at all: part of a path is another path.
func TestTLS(t *testing.T) {
	address := "tcp:b.example:4444"
	for path, want := range map[string]bool{
		"": true, "/etc/ferry/tls": true, "/" + strings.Repeat("x", MaxPlace-len(address)-1): true, "/" + strings.Repeat("x", MaxPlace-len(address)): false,
	} {
		r := Record{Move: move, Epoch: 1, State: Reserved, Name: "a", Address: address, TLS: path}
		b := r.Encode()
		if !want {
			r.TLS = ""
		}
		got, err := Decode(b[:])
		if diff := cmp.Diff(r, got); err != nil || diff != "" {
			t.Errorf("a path of %d bytes (-want +got), %v:\n%s", len(path), err, diff)
		}
	}
}

func FuzzDecode(f *testing.F) {
	b := Record{Move: move, Epoch: 1, State: Started, By: ByPerson, Handed: true, Name: "a", Address: "tcp:b:1", TLS: "/tls"}.Encode()
	f.Add(b[:])
	f.Fuzz(func(t *testing.T, p []byte) {
		r, err := Decode(p)
		if err != nil {
			return
		}
		again := r.Encode()
		if got, err := Decode(again[:]); err != nil || got != r {
			t.Errorf("got %+v, %v; want %+v", got, err, r)
		}
	})
}
