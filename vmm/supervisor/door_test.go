package supervisor

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vmm/record"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
	"github.com/ferryvmm/ferry/vmm/supervisor/identity"
)

// lockedLog is a log that is read while it is written.
type lockedLog struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// guardedAcceptor is one with a door, for the host a of a laboratory, which also has b and c.
type guardedAcceptor struct {
	*acceptor
	lab string
	log *lockedLog
}

func newGuarded(t *testing.T, allow ...string) guardedAcceptor {
	t.Helper()
	g := guardedAcceptor{lab: t.TempDir(), log: &lockedLog{}}
	g.issue(t, time.Hour, "127.0.0.1", "b.example", "c.example")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(g.log, nil))
	d := newDoor(filepath.Join(g.lab, "127.0.0.1"), allow, log)
	g.acceptor = newAcceptor(l, d, ledger{own: t.TempDir()}, log)
	t.Cleanup(g.close)
	return g
}

func (g guardedAcceptor) issue(t *testing.T, valid time.Duration, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := identity.Issue(g.lab, [][]string{{name}}, valid); err != nil {
			t.Fatal(err)
		}
	}
}

// place is the acceptor as a host of the laboratory finds it.
func (g guardedAcceptor) place(t *testing.T, host string) place {
	t.Helper()
	p, err := newPlace("tcp:"+g.listener.Addr().String(), filepath.Join(g.lab, host), false)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// answers wants b to be answered.
func (g guardedAcceptor) answers(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := g.place(t, "b.example").connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if a, err := migration.AskPeer(ctx, conn, migration.Query{Move: migration.NewMoveID(), Epoch: firstEpoch}); err != nil || a != migration.Unknown {
		t.Errorf("got %v, %v; want an answer", a, err)
	}
}

// TestTurnedAway: who does not prove who it is is turned away, the log says why, and the next is heard.
func TestTurnedAway(t *testing.T) {
	hello := migration.EncodeHello(migration.Hello{VersionMin: migration.VersionMin, VersionMax: migration.VersionMax, Role: migration.RoleControl})
	// as has a host of the laboratory, whose files are in a folder, shake hands.
	as := func(g guardedAcceptor, dir string, change func(*tls.Config)) func(net.Conn) error {
		return func(conn net.Conn) error {
			c := &tls.Config{ServerName: "127.0.0.1", InsecureSkipVerify: true} // its own trust does not matter here
			if dir != "" {
				pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
				if err != nil {
					return err
				}
				c.Certificates = []tls.Certificate{pair}
			}
			if change != nil {
				change(c)
			}
			tc := tls.Client(conn, c)
			if _, err := tc.Write(hello[:]); err != nil {
				return err
			}
			b := make([]byte, 300)
			n, err := tc.Read(b)
			if err == nil && n > 0 && b[0] != 1 {
				return errors.New(string(b[1:n]))
			}
			return err
		}
	}
	for name, tc := range map[string]struct {
		come func(t *testing.T, g guardedAcceptor) func(net.Conn) error
		log  string
		told string
	}{
		"no certificate": {
			func(t *testing.T, g guardedAcceptor) func(net.Conn) error { return as(g, "", nil) },
			"didn't provide a certificate", "certificate required",
		},
		"expired": {
			func(t *testing.T, g guardedAcceptor) func(net.Conn) error {
				g.issue(t, -time.Minute, "c.example")
				return as(g, filepath.Join(g.lab, "c.example"), nil)
			},
			"certificate has expired", "expired certificate",
		},
		"another name": {
			func(t *testing.T, g guardedAcceptor) func(net.Conn) error {
				return as(g, filepath.Join(g.lab, "c.example"), nil)
			},
			"does not allow c.example", "does not allow c.example",
		},
		"another authority": {
			func(t *testing.T, g guardedAcceptor) func(net.Conn) error {
				other := guardedAcceptor{lab: t.TempDir()}
				other.issue(t, time.Hour, "b.example")
				return as(g, filepath.Join(other.lab, "b.example"), nil)
			},
			"unknown authority", "unknown certificate authority",
		},
		"TLS 1.2": {
			func(t *testing.T, g guardedAcceptor) func(net.Conn) error {
				return as(g, filepath.Join(g.lab, "b.example"), func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })
			},
			"unsupported versions", "protocol version not supported",
		},
		"in the clear": {
			func(*testing.T, guardedAcceptor) func(net.Conn) error {
				return func(conn net.Conn) error {
					if _, err := conn.Write(hello[:]); err != nil {
						return err
					}
					b, err := io.ReadAll(conn)
					return errors.Join(errors.New(string(b)), err)
				}
			},
			"speaks no TLS", "takes only connections under TLS",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuarded(t, "b.example")
			conn, err := net.Dial("tcp", g.listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(2 * helloWithin)); err != nil {
				t.Fatal(err)
			}
			if err := tc.come(t, g)(conn); err == nil || !strings.Contains(err.Error(), tc.told) {
				t.Errorf("it was told %v; want %q", err, tc.told)
			}
			g.answers(t)
			if got := g.log.String(); !strings.Contains(got, tc.log) || strings.Count(got, "turned away") != 1 {
				t.Errorf("got the log %q; want %q in it, once", got, tc.log)
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			if g.current != nil {
				t.Error("got an attempt; want none begun")
			}
		})
	}
}

// TestNoTLSHere: a receiver without TLS is told from others by who comes with it, and says so itself.
func TestNoTLSHere(t *testing.T) {
	g := newGuarded(t)
	plain := newTestAcceptor(t)
	at := g.place(t, "b.example")
	addr, err := api.ParseAddress("tcp:" + plain.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	at.address = addr
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err = at.connect(ctx)
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != api.CodeTLS || !strings.Contains(e.Message, "speaks no TLS") {
		t.Errorf("got %v; want an error of code tls", err)
	}
}

// TestDoorIsNotHeld: as many silent connections as there may be keep nobody out.
func TestDoorIsNotHeld(t *testing.T) {
	g := newGuarded(t)
	var silent []net.Conn
	for range maxWaiting + 8 {
		conn, err := net.Dial("tcp", g.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		silent = append(silent, conn)
	}
	g.answers(t)
	// The first ones have made room.
	if err := silent[0].SetReadDeadline(time.Now().Add(helloWithin / 2)); err != nil {
		t.Fatal(err)
	}
	if _, err := silent[0].Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the oldest: got %v; want it closed", err)
	}
	g.door.mu.Lock()
	defer g.door.mu.Unlock()
	if n := len(g.door.waiting); n > maxWaiting {
		t.Errorf("got %d that wait; want %d at the most", n, maxWaiting)
	}
}

// TestAskUnderTLS: who looks at the record of a move after its supervisor's death asks as it would have.
func TestAskUnderTLS(t *testing.T) {
	g := newGuarded(t, "b.example")
	move := migration.NewMoveID()
	target, err := record.Create(g.ledger.own, record.Target, record.Record{Move: move, Epoch: firstEpoch})
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if err := record.Decide(target, record.Started, record.ByTarget); err != nil {
		t.Fatal(err)
	}
	at := g.place(t, "b.example")
	own := t.TempDir()
	f, err := record.Create(own, record.Source, record.Record{Move: move, Epoch: firstEpoch, Name: "alpha", Address: at.address.String(), TLS: at.tls})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := record.Find(own, record.Source, move)
	if err != nil {
		t.Fatal(err)
	}
	d, err := departureFrom(record.Found{Record: r}, ledger{own: own})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if got := d.ask(ctx); got != migration.Started {
		t.Errorf("got %v; want started", got)
	}
	d.target.tls = ""
	if got := d.askPeer(ctx); got != migration.Unknown {
		t.Errorf("without TLS: got %v; want unknown", got)
	}
}
