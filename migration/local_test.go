package migration_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/internal/tcptest"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/migration/migrationtest"
)

// unixPair returns the two ends of a connection by a unix socket.
func unixPair(t testing.TB) (dialled, accepted net.Conn) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if dialled, err = net.Dial("unix", path); err != nil {
		t.Fatal(err)
	}
	if accepted, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialled.Close(); accepted.Close() })
	return dialled, accepted
}

// newLocalBench makes a guest that is to be handed over.
func newLocalBench(t testing.TB) *bench {
	t.Helper()
	b := newBench(t, 2000)
	b.send.Control, b.recv.Control = unixPair(t)
	b.send.Bulk, b.recv.Bulk = unixPair(t)
	b.send.Mode = migration.Local
	b.send.Description.Handed = handed(b.guest.Memory)
	return b
}

// handed are the files of a memory.
func handed(m *guestmem.Memory) []migration.Handed {
	var all []migration.Handed
	for i, f := range m.Files() {
		all = append(all, migration.Handed{Role: fmt.Sprint("memory:", i), File: f})
	}
	return all
}

// openFiles counts the descriptors of this process.
func openFiles(t testing.TB) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestLocalMoveHandsMemoryOver(t *testing.T) {
	b := newLocalBench(t)
	settled := false
	b.recv.Settle = func() { settled = b.host.Built().Started }
	e := b.run(t, within(t, 30*time.Second))
	if e.sentErr != nil || e.receivedErr != nil {
		t.Fatalf("got %v, %v; want it moved", e.sentErr, e.receivedErr)
	}
	b.wantMoved(t)
	r := e.sent
	if r.Outcome != migration.OutcomeCompleted || r.Mode != "local" || r.PageBytes != 0 || r.SentBytes > 100<<10 || r.ResidentBytes < 24*mib {
		t.Errorf("got %+v; want it completed with no page sent", r)
	}
	if !settled {
		t.Error("Settle was not called behind the start")
	}
	if !b.record.Removed() {
		t.Error("the record is left behind")
	}
	// One memory, not two alike.
	word := []byte{1, 2, 3}
	if err := b.host.Built().Memory().WriteAt(word, 4096); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(word))
	if err := b.guest.Memory.ReadAt(got, 4096); err != nil || !bytes.Equal(got, word) {
		t.Errorf("got %v, %v at the source; want what the target wrote", got, err)
	}
}

func TestLocalMoveThatFailsLeavesTheGuestAsItWas(t *testing.T) {
	for name, set := range map[string]func(*bench){
		"refused":  func(b *bench) { b.host.Refuse = &migration.Refusal{Code: "no", Message: "no"} },
		"restore":  func(b *bench) { b.host.RestoreErr = errors.New("no") },
		"save":     func(b *bench) { b.guest.SaveErr = errors.New("no") },
		"no files": func(b *bench) { b.send.Description.Handed = nil; b.host.Refuse = errors.New("no memory") },
		"killed":   func(b *bench) { b.host.OnRestore = func() { b.recv.Control.Close() } },
		"recorded": func(b *bench) { b.record.StartedErr = errors.New("no") },
	} {
		t.Run(name, func(t *testing.T) {
			b := newLocalBench(t)
			set(b)
			before := openFiles(t)
			e := b.run(t, within(t, 30*time.Second))
			if e.sentErr == nil || e.sent.Outcome != migration.OutcomeFailed || e.receivedErr == nil {
				t.Errorf("got %+v, %v at the source, %v at the target; want it failed", e.sent, e.sentErr, e.receivedErr)
			}
			b.wantHome(t)
			// The four sockets are closed, and no descriptor that came is left.
			if got, want := openFiles(t), before-4; got > want {
				t.Errorf("got %d descriptors; want %d", got, want)
			}
		})
	}
}

func TestLocalMoveNeedsAUnixSocket(t *testing.T) {
	b := newBench(t, 0)
	b.send.Mode = migration.Local
	r, err := migration.Send(within(t, 10*time.Second), b.send)
	if !errors.Is(err, migration.ErrNotLocal) || r.Outcome != migration.OutcomeFailed {
		t.Errorf("got %+v, %v; want ErrNotLocal", r, err)
	}
	if !b.world.Running(migrationtest.Source) {
		t.Error("the guest does not run any more")
	}
}

// relayed returns what stands in for one end of a connection, behind a relay
// that passes bytes on and nothing else.
func relayed(t testing.TB, far net.Conn) net.Conn {
	near, mine := unixPair(t)
	var group sync.WaitGroup
	for _, c := range [][2]net.Conn{{mine, far}, {far, mine}} {
		group.Add(1)
		go func() {
			defer group.Done()
			_, _ = io.Copy(struct{ io.Writer }{c[0]}, struct{ io.Reader }{c[1]})
			c[0].Close()
		}()
	}
	t.Cleanup(func() { near.Close(); group.Wait() })
	return near
}

func TestDescriptorsMustBeThoseAnnounced(t *testing.T) {
	for name, set := range map[string]func(*bench){
		"twice": func(b *bench) {
			b.send.Description.Handed = append(b.send.Description.Handed, b.send.Description.Handed[0])
		},
		"without": func(b *bench) { // over TCP none can come
			b.send.Control, b.recv.Control = tcptest.Pair(t)
			b.send.Mode = migration.StopCopy
		},
		"behind a relay": func(b *bench) { // that passes bytes on, and nothing else
			b.recv.Control = relayed(t, b.recv.Control)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newLocalBench(t)
			set(b)
			e := b.run(t, within(t, 30*time.Second))
			if e.sentErr == nil || !errors.Is(e.receivedErr, migration.ErrProtocol) {
				t.Errorf("got %v, %v; want ErrProtocol", e.sentErr, e.receivedErr)
			}
			b.wantHome(t)
		})
	}
}

// TestLocalMoveBehindTheCommit: what the target's record says decides, as for every move.
func TestLocalMoveBehindTheCommit(t *testing.T) {
	t.Run("started", func(t *testing.T) {
		b := newLocalBench(t)
		b.host.OnStart = func() { b.recv.Control.Close() }
		e := b.run(t, within(t, 30*time.Second))
		if e.sentErr != nil || e.sent.Outcome != migration.OutcomeCompleted {
			t.Errorf("got %+v, %v; want it completed", e.sent, e.sentErr)
		}
		b.wantMoved(t)
	})
	t.Run("not started", func(t *testing.T) {
		b := newLocalBench(t)
		b.record.StartedErr = errors.New("no")
		b.recv.Record = b.record
		e := b.run(t, within(t, 30*time.Second))
		if e.sentErr == nil || e.sent.Outcome != migration.OutcomeFailed {
			t.Errorf("got %+v, %v; want it failed", e.sent, e.sentErr)
		}
		b.wantHome(t)
	})
	t.Run("killed there", func(t *testing.T) {
		b := newLocalBench(t)
		b.host.OnStart = func() { b.recv.Control.Close() }
		b.send.Ask = func(context.Context) (migration.Answer, error) { return migration.Lost, nil }
		e := b.run(t, within(t, 30*time.Second))
		if !errors.Is(e.sentErr, migration.ErrLost) || e.sent.Outcome != migration.OutcomeLost {
			t.Errorf("got %+v, %v; want it lost", e.sent, e.sentErr)
		}
		if b.world.Running(migrationtest.Source) {
			t.Error("the source runs in memory in which its guest ran on elsewhere")
		}
	})
}
