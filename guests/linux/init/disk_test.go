package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/guests/linux/record"
)

// open returns the one writer of a disk in a file.
func open(t *testing.T, path string) *diskWriter {
	t.Helper()
	all, err := newWriters(path, diskOption{name: "disk", slots: 4, writers: 1}, &console{ports: -1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { all[0].disk.Close() })
	return all[0]
}

func newDisk(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, make([]byte, 4*record.Size), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// write writes n records and returns how many were found wrong.
func write(t *testing.T, w *diskWriter, n int) {
	t.Helper()
	for range n {
		if err := w.step(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWriterGoesOnWhereOneStopped(t *testing.T) {
	path := newDisk(t)
	write(t, open(t, path), 10)
	w := open(t, path)
	write(t, w, 3)
	if diff := cmp.Diff("disk=disk writer=0 durable=13 verified=3 bad=0", w.total()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWriterAllowsTheRecordThatWasInFlight(t *testing.T) {
	path := newDisk(t)
	write(t, open(t, path), 10)
	spoil(t, path, 10) // the slot of record 11
	w := open(t, path)
	write(t, w, 4)
	if diff := cmp.Diff("disk=disk writer=0 durable=14 verified=3 bad=0", w.total()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWriterFindsWhatChangedWhileItWrote(t *testing.T) {
	path := newDisk(t)
	w := open(t, path)
	write(t, w, 10)
	spoil(t, path, 12)
	write(t, w, 8)
	if diff := cmp.Diff("disk=disk writer=0 durable=18 verified=13 bad=1", w.total()); diff != "" {
		t.Errorf("counted once (-want +got):\n%s", diff)
	}
}

func TestWriterFindsWhatIsWrongWhenItStarts(t *testing.T) {
	path := newDisk(t)
	write(t, open(t, path), 10)
	spoil(t, path, 8)
	if got := open(t, path).bad.Load(); got != 1 {
		t.Errorf("got %d records wrong; want 1", got)
	}
}

func TestDiskThatIsTooShort(t *testing.T) {
	path := newDisk(t)
	if err := os.Truncate(path, 3*record.Size); err != nil {
		t.Fatal(err)
	}
	if _, err := newWriters(path, diskOption{slots: 4, writers: 1}, &console{ports: -1}, 0); err == nil {
		t.Error("got no error; want one")
	}
}

// spoil changes the end of the n-th slot, counted around.
func spoil(t *testing.T, path string, n int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("spoilt"), int64(n%4+1)*record.Size-100); err != nil {
		t.Fatal(err)
	}
}
