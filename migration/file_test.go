package migration_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/migration/migrationtest"
)

// saved is a fake guest's copy in memory, with the guest stopped right after.
func saved(t testing.TB, mode migration.Mode, rate int) (*migrationtest.Guest, []byte, migration.Result) {
	t.Helper()
	w := migrationtest.NewWorld()
	g, err := migrationtest.NewGuest(w, 16*mib, 2*mib, mib, rate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	blob := []byte("kernel")
	var out bytes.Buffer
	r, err := migration.Save(context.Background(), migration.SaveConfig{
		Stream: &out, Guest: g, Memory: g.Memory, Mode: mode,
		Description: migration.Description{Name: "g", Blobs: []migration.BlobInfo{{ID: "kernel", Size: 6, SHA256: sha256.Sum256(blob)}}},
		Blobs:       map[string]io.ReaderAt{"kernel": bytes.NewReader(blob)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !w.Running(migrationtest.Source) {
		t.Error("the guest does not go on")
	}
	if g.VM.Logging() {
		t.Error("the dirty log is still on")
	}
	return g, out.Bytes(), r
}

func TestSaveAndRestore(t *testing.T) {
	for _, mode := range []migration.Mode{migration.Precopy, migration.StopCopy} {
		t.Run(string(mode), func(t *testing.T) {
			g, file, r := saved(t, mode, 0)
			if r.Outcome != migration.OutcomeCompleted || r.SentBytes != uint64(len(file)) || r.PageBytes < 2*mib || r.DowntimeMS <= 0 || r.DowntimeMS > r.TotalMS {
				t.Errorf("got %+v of %d bytes", r, len(file))
			}
			h := &migrationtest.Host{World: migrationtest.NewWorld()}
			got, err := migration.Restore(context.Background(), bytes.NewReader(file), h)
			if err != nil || got.Outcome != migration.OutcomeCompleted || got.TargetName != "g-moved" {
				t.Fatalf("got %+v, %v; want it restored", got, err)
			}
			defer h.Built().Memory().Close()
			if !h.Built().Started || !h.Built().Blobs["kernel"].Complete {
				t.Error("the guest is not complete")
			}
			sameMemory(t, g.Memory, h.Built().Memory())
		})
	}
}

// TestSaveWhileWriting: the copy of a guest that writes all the time is consistent.
func TestSaveWhileWriting(t *testing.T) {
	g, file, r := saved(t, migration.Precopy, 5000)
	if len(r.Rounds) < 2 {
		t.Errorf("got %d rounds; want more", len(r.Rounds))
	}
	h := &migrationtest.Host{World: migrationtest.NewWorld()}
	if _, err := migration.Restore(context.Background(), bytes.NewReader(file), h); err != nil {
		t.Fatal(err)
	}
	defer h.Built().Memory().Close()
	if now := g.Writes(); h.Built().State.Writes > now {
		t.Errorf("got %d writes in the copy, %d in the guest", h.Built().State.Writes, now)
	}
}

func TestSaveToFileIsSynced(t *testing.T) {
	w := migrationtest.NewWorld()
	g, err := migrationtest.NewGuest(w, 16*mib, mib, mib, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	f, err := os.Create(filepath.Join(t.TempDir(), "copy"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := &syncer{File: f}
	c := migration.SaveConfig{Stream: s, Guest: g, Memory: g.Memory, Description: migration.Description{Name: "g"}}
	if _, err := migration.Save(context.Background(), c); err != nil || s.calls != 1 {
		t.Errorf("got %v after %d syncs; want one sync", err, s.calls)
	}
	s.err = errors.New("no space left")
	if r, err := migration.Save(context.Background(), c); !errors.Is(err, s.err) || r.Outcome != migration.OutcomeFailed || !w.Running(migrationtest.Source) {
		t.Errorf("got %v, %v; want it failed and the guest running", r.Outcome, err)
	}
}

type syncer struct {
	*os.File
	calls int
	err   error
}

func (s *syncer) Sync() error {
	s.calls++
	return errors.Join(s.err, s.File.Sync())
}

// TestDamagedFiles: a file that is short, altered, of another version or
// something else is told apart, and nothing starts from it.
func TestDamagedFiles(t *testing.T) {
	_, file, _ := saved(t, migration.StopCopy, 0)
	try := func(name string, b []byte, want error) {
		t.Helper()
		w := migrationtest.NewWorld()
		h := &migrationtest.Host{World: w}
		r, err := migration.Restore(context.Background(), bytes.NewReader(b), h)
		if !errors.Is(err, want) || r.Outcome != migration.OutcomeFailed {
			t.Errorf("%s: got %v, %v; want %v", name, r.Outcome, err, want)
		}
		if built := h.Built(); w.Running(migrationtest.Target) || built != nil && !built.Discarded {
			t.Errorf("%s: something is left", name)
		}
	}
	for _, n := range []int{1, 8, 15, 16, 20, 48, 100, 1000, len(file) / 2, len(file) - 49, len(file) - 48, len(file) - 1} {
		try("short", file[:n], migration.ErrTruncated)
	}
	try("empty", nil, migration.ErrTruncated)
	try("text", []byte("hello"), migration.ErrNotFerry)
	try("long text", bytes.Repeat([]byte("hello"), 100), migration.ErrNotFerry)
	try("longer", append(bytes.Clone(file), 0), migration.ErrCorrupt)
	for at := 8; at < len(file); at += 1 + at/7 {
		b := bytes.Clone(file)
		b[at] ^= 1
		try("altered", b, migration.ErrCorrupt)
	}
	newer := bytes.Clone(file)
	copy(newer, migration.StreamHeader(migration.StreamVersion+1))
	try("newer", newer, migration.ErrVersion)
}

func TestRestoreRefused(t *testing.T) {
	_, file, _ := saved(t, migration.StopCopy, 0)
	h := &migrationtest.Host{World: migrationtest.NewWorld(), Refuse: &migration.Refusal{Code: "no_memory", Message: "no"}}
	var refusal *migration.Refusal
	if r, err := migration.Restore(context.Background(), bytes.NewReader(file), h); !errors.As(err, &refusal) || r.Outcome != migration.OutcomeFailed {
		t.Errorf("got %v, %v; want it refused", r.Outcome, err)
	}
}

func TestSaveCancelled(t *testing.T) {
	w := migrationtest.NewWorld()
	g, err := migrationtest.NewGuest(w, 16*mib, mib, mib, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	g.OnPause = func(pausing context.Context) {
		cancel()
		<-pausing.Done()
	}
	c := migration.SaveConfig{Stream: new(bytes.Buffer), Guest: g, Memory: g.Memory, Description: migration.Description{Name: "g"}}
	r, err := migration.Save(ctx, c)
	if r.Outcome != migration.OutcomeCancelled || !errors.Is(err, migration.ErrCancelled) || !w.Running(migrationtest.Source) || g.VM.Logging() {
		t.Errorf("got %v, %v; want it cancelled, the guest running", r.Outcome, err)
	}
}
