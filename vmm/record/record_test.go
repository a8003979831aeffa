package record

import (
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var move = [16]byte{1, 2, 3}

func TestRecordIsDecidedOnce(t *testing.T) {
	for _, tc := range []struct{ first, second State }{{Started, Tombstone}, {Tombstone, Started}} {
		t.Run(tc.first.String(), func(t *testing.T) {
			dir := t.TempDir()
			f, err := Create(dir, move, 7)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := Decide(f, tc.first); err != nil {
				t.Fatal(err)
			}
			if err := Decide(f, tc.first); err != nil {
				t.Errorf("deciding the same again: %v", err)
			}
			if err := Decide(f, tc.second); !errors.Is(err, ErrDecided) {
				t.Errorf("deciding otherwise: got %v; want ErrDecided", err)
			}
			got, err := Find(dir, move)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(Record{Move: move, Epoch: 7, State: tc.first}, got); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMoveIDIsNotUsedTwice(t *testing.T) {
	dir := t.TempDir()
	f, err := Create(dir, move, 1)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := Create(dir, move, 1); !errors.Is(err, os.ErrExist) {
		t.Errorf("got %v; want it to exist", err)
	}
}

func TestNoRecordAndDamagedRecordProveNothing(t *testing.T) {
	dir := t.TempDir()
	if _, err := Find(dir, move); !errors.Is(err, ErrNone) {
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
	if err := os.WriteFile(path(dir, move), b[:100], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(dir, move); !errors.Is(err, ErrCorrupt) {
		t.Errorf("truncated: got %v; want ErrCorrupt", err)
	}
}

func FuzzDecode(f *testing.F) {
	b := Record{Move: move, Epoch: 1, State: Started}.Encode()
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
