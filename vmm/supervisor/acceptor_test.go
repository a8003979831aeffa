package supervisor

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vmm/record"
)

// newTestAcceptor listens on loopback with its records in a folder of its own.
func newTestAcceptor(t *testing.T) *acceptor {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	a := newAcceptor(l, nil, ledger{own: t.TempDir(), shared: t.TempDir()}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	t.Cleanup(a.close)
	return a
}

// dial connects to a and says hello.
func dial(t *testing.T, a *acceptor, role migration.Role, move migration.MoveID) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", a.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	b := migration.EncodeHello(migration.Hello{
		VersionMin: migration.VersionMin, VersionMax: migration.VersionMax, Role: role, Move: move, Epoch: firstEpoch,
	})
	if _, err := conn.Write(b[:]); err != nil {
		t.Fatal(err)
	}
	return conn
}

// refused wants conn to be answered and closed.
func refused(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(2 * helloWithin)); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(conn)
	if err != nil || len(b) == 0 {
		t.Errorf("got %d bytes, %v; want a refusal and the end", len(b), err)
	}
}

func TestConnectionsOfAMoveFindEachOther(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	a := newTestAcceptor(t)
	move := migration.NewMoveID()
	dial(t, a, migration.RoleBulk, move) // read before its control connection
	dial(t, a, migration.RoleControl, move)
	at, bulk, err := a.next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer bulk.Close()
	defer at.control.Close()
	if at.hello.Move != move {
		t.Errorf("got move %v; want %v", at.hello.Move, move)
	}
	// One at a time.
	refused(t, dial(t, a, migration.RoleControl, migration.NewMoveID()))
	refused(t, dial(t, a, migration.RoleBulk, move))
	a.done(true)
	refused(t, dial(t, a, migration.RoleControl, migration.NewMoveID()))
}

func TestAttemptWithoutItsBulkConnectionIsGivenUp(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	a := newTestAcceptor(t)
	conn := dial(t, a, migration.RoleControl, migration.NewMoveID())
	if _, _, err := a.next(ctx); !errors.Is(err, errNoBulk) {
		t.Errorf("got %v; want errNoBulk", err)
	}
	refused(t, conn)
	// The next one is taken.
	move := migration.NewMoveID()
	dial(t, a, migration.RoleControl, move)
	dial(t, a, migration.RoleBulk, move)
	at, bulk, err := a.next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	at.control.Close()
	bulk.Close()
}

func TestAnswersAreWhatTheRecordProves(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	a := newTestAcceptor(t)
	ask := func(move migration.MoveID) migration.Answer {
		t.Helper()
		conn, err := net.Dial("tcp", a.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		answer, err := migration.AskPeer(ctx, conn, migration.Query{Move: move, Epoch: firstEpoch})
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	for _, tc := range []struct {
		name   string
		states []record.State // that it came to
		killed bool           // whoever had the guest is gone
		want   migration.Answer
	}{
		{"started", []record.State{record.Started}, false, migration.Started},
		{"started, and killed", []record.State{record.Started}, true, migration.Lost},
		{"started, and ended", []record.State{record.Started, record.Ended}, true, migration.Started},
		{"tombstone", []record.State{record.Tombstone}, true, migration.NotStarted},
		{"under way: it is not any more", nil, false, migration.NotStarted},
		{"all who knew it were killed", nil, true, migration.NotStarted},
	} {
		for where, dir := range map[string]string{"own": a.ledger.own, "shared": a.ledger.shared} {
			t.Run(tc.name+", "+where, func(t *testing.T) {
				move := migration.NewMoveID()
				f, err := record.Create(dir, record.Target, record.Record{Move: move, Epoch: firstEpoch})
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				for _, s := range tc.states {
					if err := record.Decide(f, s, record.ByTarget); err != nil {
						t.Fatal(err)
					}
				}
				if tc.killed {
					f.Close()
				}
				if got := ask(move); got != tc.want {
					t.Errorf("got %v; want %v", got, tc.want)
				}
				if tc.want != migration.NotStarted || tc.killed {
					return
				}
				// What was answered is true from then on.
				if err := record.Decide(f, record.Started, record.ByTarget); !errors.Is(err, record.ErrDecided) {
					t.Errorf("a start behind the answer: got %v; want ErrDecided", err)
				}
			})
		}
	}
	t.Run("of another epoch", func(t *testing.T) {
		move := migration.NewMoveID()
		f, err := record.Create(a.ledger.own, record.Target, record.Record{Move: move, Epoch: firstEpoch + 1})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if got := ask(move); got != migration.Unknown {
			t.Errorf("got %v; want unknown", got)
		}
	})
	t.Run("no record", func(t *testing.T) {
		if got := ask(migration.NewMoveID()); got != migration.Unknown {
			t.Errorf("got %v; want unknown", got)
		}
	})
}

func TestStrangersAreBounded(t *testing.T) {
	a := newTestAcceptor(t)
	var silent []net.Conn
	for range maxStrangers {
		conn, err := net.Dial("tcp", a.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		silent = append(silent, conn)
	}
	// The one too many is closed at once; the others get their time.
	conn, err := net.Dial("tcp", a.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(helloWithin / 2)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("got %v; want the connection to be closed", err)
	}
	_ = silent
}
