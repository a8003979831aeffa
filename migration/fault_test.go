package migration_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/migration/migrationtest"
)

// The types of frames, as on the wire.
const (
	reserve, reserved, refused, state, prepared, commit = 1, 2, 3, 4, 5, 6
	running, release, roundAck, pages, roundEnd         = 7, 8, 11, 20, 21
)

// wiretap is a connection that shows each frame to a hook before it is
// written, and after. The hook may end the connection.
type wiretap struct {
	net.Conn
	hook func(frame byte, written bool)
}

func (w *wiretap) Write(p []byte) (int, error) {
	frame := byte(0)
	if len(p) >= 32 && p[0] == 0xFE && p[1] == 0x59 {
		frame = p[2]
	}
	if frame != 0 {
		w.hook(frame, false)
	}
	n, err := w.Conn.Write(p)
	if frame != 0 {
		w.hook(frame, true)
	}
	return n, err
}

func (w *wiretap) CloseWrite() error { return w.Conn.(*net.TCPConn).CloseWrite() }

// tap shows all frames of both sides to a hook.
func (b *bench) tap(hook func(frame byte, written bool)) {
	for _, c := range []*net.Conn{&b.send.Control, &b.send.Bulk, &b.recv.Control, &b.recv.Bulk} {
		*c = &wiretap{Conn: *c, hook: hook}
	}
}

// cut ends all connections at once.
func (b *bench) cut() {
	for _, c := range []net.Conn{b.send.Control, b.send.Bulk, b.recv.Control, b.recv.Bulk} {
		c.(*wiretap).Conn.Close()
	}
}

// TestCutAtEveryFrame cuts the link before and after each kind of frame:
// afterwards exactly one copy runs, and both sides know which.
func TestCutAtEveryFrame(t *testing.T) {
	names := map[byte]string{reserve: "reserve", reserved: "reserved", pages: "pages", roundEnd: "round end",
		roundAck: "round ack", state: "state", prepared: "prepared", commit: "commit", running: "running", release: "release"}
	for frame, name := range names {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, written %v", name, after), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, 1000)
				var once sync.Once
				b.tap(func(f byte, written bool) {
					if f == frame && written == after {
						once.Do(b.cut)
					}
				})
				e := b.run(t, within(t, 30*time.Second))
				t.Logf("source: %v (%v); target: %v (%v)", e.sent.Outcome, e.sentErr, e.received.Outcome, e.receivedErr)
				switch e.sent.Outcome {
				case migration.OutcomeCompleted:
					b.wantMoved(t)
					if e.received.Outcome != migration.OutcomeCompleted {
						t.Errorf("target: got %v; want it completed", e.received.Outcome)
					}
				case migration.OutcomeFailed:
					b.wantHome(t)
					if e.sentErr == nil || e.received.Outcome == migration.OutcomeCompleted {
						t.Errorf("got %v at the source, %v at the target; want both failed", e.sentErr, e.received.Outcome)
					}
				default:
					t.Errorf("got %v; want it decided", e.sent.Outcome)
				}
				must := frame == running || frame == release
				may := must || frame == commit || frame == prepared && after // the cut may come late
				if got := e.sent.Outcome == migration.OutcomeCompleted; must && !got || got && !may {
					t.Errorf("moved: got %v", got)
				}
			})
		}
	}
}

// TestInDoubt cuts the link at the commit while the target cannot be asked.
// A connection that is reset under a round of pages is a lost link, whatever
// the system call that met it says.
func TestResetInARoundIsALostLink(t *testing.T) {
	b := newBench(t, 1000)
	var once sync.Once
	b.tap(func(f byte, written bool) {
		if f == pages && !written {
			once.Do(func() {
				// Bytes that nobody reads make the close a reset.
				target := b.recv.Bulk.(*wiretap).Conn.(*net.TCPConn)
				if err := target.SetLinger(0); err != nil {
					t.Error(err)
				}
				target.Close()
			})
		}
	})
	e := b.run(t, within(t, 30*time.Second))
	if e.sent.Outcome != migration.OutcomeFailed || !errors.Is(e.sentErr, migration.ErrLinkLost) {
		t.Errorf("got %v, %v; want it failed with ErrLinkLost", e.sent.Outcome, e.sentErr)
	}
}

func TestInDoubt(t *testing.T) {
	b := newBench(t, 1000)
	var once sync.Once
	b.tap(func(f byte, written bool) {
		if f == running && !written {
			once.Do(b.cut)
		}
	})
	ctx, giveUp := context.WithCancel(context.Background())
	defer giveUp()
	cancel := make(chan struct{})
	b.send.Cancel = cancel
	asked := 0
	b.send.Ask = func(context.Context) (migration.Answer, error) {
		asked++
		switch asked {
		case 1:
			close(cancel) // comes too late
			return migration.Unknown, errors.New("refused")
		case 2:
			return migration.Pending, nil
		}
		giveUp()
		return migration.Unknown, nil
	}
	phases := map[migration.Phase]bool{}
	b.send.Progress = func(p migration.Progress) { phases[p.Phase] = true }
	e := b.run(t, ctx)
	if e.sent.Outcome != migration.OutcomeInDoubt || !errors.Is(e.sentErr, migration.ErrInDoubt) {
		t.Errorf("got %v, %v; want it in doubt", e.sent.Outcome, e.sentErr)
	}
	if !phases[migration.PhaseInDoubt] {
		t.Errorf("got phases %v; want in_doubt among them", phases)
	}
	if b.world.Running(migrationtest.Source) {
		t.Error("the source runs in doubt")
	}
}

func TestRefusal(t *testing.T) {
	b := newBench(t, 0)
	want := &migration.Refusal{Code: "no_memory", Message: "not enough memory", Remedy: "free some"}
	b.host.Refuse = want
	e := b.run(t, within(t, 10*time.Second))
	var got *migration.Refusal
	if !errors.As(e.sentErr, &got) || *got != *want {
		t.Errorf("got %v; want %v", e.sentErr, want)
	}
	if !errors.As(e.receivedErr, &got) || e.sent.Outcome != migration.OutcomeFailed || !b.record.Removed() {
		t.Errorf("target: got %v, outcome %v, record removed %v", e.receivedErr, e.sent.Outcome, b.record.Removed())
	}
	b.wantHome(t)
}

// TestFailureHere has each step fail in turn, at the source or at the target.
func TestFailureHere(t *testing.T) {
	boom := errors.New("boom")
	for name, tc := range map[string]struct {
		set  func(b *bench)
		want migration.Outcome
		at   migration.Outcome // the target
	}{
		"pause":   {func(b *bench) { b.guest.PauseErr = boom }, migration.OutcomeFailed, migration.OutcomeFailed},
		"save":    {func(b *bench) { b.guest.SaveErr = boom }, migration.OutcomeFailed, migration.OutcomeFailed},
		"restore": {func(b *bench) { b.host.RestoreErr = boom }, migration.OutcomeFailed, migration.OutcomeFailed},
		"record":  {func(b *bench) { b.record.StartedErr = boom }, migration.OutcomeFailed, migration.OutcomeFailed},
		"dirty log": {func(b *bench) {
			b.guest.VM.Fail = func(call string) error {
				if call == "DirtyLog" {
					return boom
				}
				return nil
			}
		}, migration.OutcomeFailed, migration.OutcomeFailed},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 500)
			tc.set(b)
			e := b.run(t, within(t, 10*time.Second))
			if e.sent.Outcome != tc.want || e.received.Outcome != tc.at || e.sentErr == nil || e.receivedErr == nil {
				t.Errorf("got %v (%v), %v (%v); want %v, %v", e.sent.Outcome, e.sentErr, e.received.Outcome, e.receivedErr, tc.want, tc.at)
			}
			b.wantHome(t)
		})
	}
}

// TestLost: the record says started, and the guest cannot be started.
func TestLost(t *testing.T) {
	b := newBench(t, 0)
	b.host.StartErr = errors.New("boom")
	e := b.run(t, within(t, 10*time.Second))
	if e.received.Outcome != migration.OutcomeLost || !errors.Is(e.receivedErr, migration.ErrLost) {
		t.Errorf("target: got %v, %v; want it lost", e.received.Outcome, e.receivedErr)
	}
	if b.world.Running(migrationtest.Source) || b.world.Running(migrationtest.Target) {
		t.Error("a lost guest runs")
	}
}

// TestRecordFailsForGood: neither "started" nor a tombstone can be written:
// nothing runs until somebody who can reach the record decides.
func TestRecordFailsForGood(t *testing.T) {
	b := newBench(t, 0)
	b.record.StartedErr = errors.New("no space")
	b.record.TombstoneErr = errors.New("no space")
	ctx, giveUp := context.WithTimeout(context.Background(), 2*time.Second)
	defer giveUp()
	e := b.run(t, ctx)
	if e.received.Outcome != migration.OutcomeInDoubt || e.sent.Outcome != migration.OutcomeInDoubt {
		t.Errorf("got %v at the target, %v at the source; want both in doubt", e.received.Outcome, e.sent.Outcome)
	}
	if b.host.Built().Discarded {
		t.Error("the target gave its copy back")
	}
}

// TestCancelEverywhere cancels in each phase.
func TestCancelEverywhere(t *testing.T) {
	for name, at := range map[string]byte{"reserve": reserve, "reserved": reserved, "pages": pages, "round end": roundEnd, "state": state, "prepared": prepared} {
		for _, mode := range []migration.Mode{migration.Precopy, migration.StopCopy} {
			t.Run(name+" "+string(mode), func(t *testing.T) {
				b := newBench(t, 1000)
				b.send.Mode = mode
				cancel := make(chan struct{})
				b.send.Cancel = cancel
				var once sync.Once
				ctx := within(t, 10*time.Second)
				b.tap(func(f byte, written bool) {
					if f == at && !written {
						once.Do(func() { close(cancel) })
					}
				})
				e := b.run(t, ctx)
				if e.sent.Outcome == migration.OutcomeCompleted { // too late
					b.wantMoved(t)
					return
				}
				if e.sent.Outcome != migration.OutcomeCancelled || !errors.Is(e.sentErr, migration.ErrCancelled) || e.receivedErr == nil {
					t.Errorf("got %v (%v), %v; want it cancelled", e.sent.Outcome, e.sentErr, e.receivedErr)
				}
				b.wantHome(t)
			})
		}
	}
}

// TestCancelInBuild: the host hears of it while it builds.
func TestCancelInBuild(t *testing.T) {
	b := newBench(t, 0)
	cancel := make(chan struct{})
	b.send.Cancel = cancel
	heard := make(chan struct{})
	b.host.OnBuild = func(ctx context.Context) {
		close(cancel)
		<-ctx.Done()
		close(heard)
	}
	e := b.run(t, within(t, 10*time.Second))
	<-heard
	if e.sent.Outcome != migration.OutcomeCancelled {
		t.Errorf("got %v; want it cancelled", e.sent.Outcome)
	}
	b.wantHome(t)
}

// TestTimeout: a guest that writes faster than the link never stops above its
// limit, so time runs out.
func TestTimeout(t *testing.T) {
	b := newBench(t, 0)
	b.guest.VM.Hook = func() { // never quiet when looked at
		for at := uint64(0); at < 64; at++ {
			if err := b.guest.VM.Write([]byte{byte(at)}, at*4096); err != nil {
				t.Error(err)
			}
		}
	}
	b.send.DowntimeLimit = time.Nanosecond
	b.send.Timeout = 500 * time.Millisecond
	e := b.run(t, within(t, 20*time.Second))
	if e.sent.Outcome != migration.OutcomeCancelled || e.sent.Reason != "timeout" || len(e.sent.Rounds) < 2 {
		t.Errorf("got %v, reason %q after %d rounds; want a timeout", e.sent.Outcome, e.sent.Reason, len(e.sent.Rounds))
	}
	b.wantHome(t)
}

// TestStrangers: what answers is not a Ferry, or one of another version, or silent.
func TestStrangers(t *testing.T) {
	for name, tc := range map[string]struct {
		peer func(control net.Conn)
		want error
	}{
		"http": {func(c net.Conn) {
			c.Write([]byte("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\r\n400 Bad Request"))
		}, migration.ErrNotFerry},
		"closed": {func(c net.Conn) { c.Close() }, migration.ErrLinkLost},
		"silent": {func(c net.Conn) {}, migration.ErrLinkLost},
		"refusing": {func(c net.Conn) {
			migration.Refuse(c, &migration.Refusal{Code: "version", Message: "versions 7 to 8 here", Remedy: "upgrade"})
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, 0)
			go io.Copy(io.Discard, b.recv.Control)
			tc.peer(b.recv.Control)
			r, err := migration.Send(within(t, 20*time.Second), b.send)
			var refusal *migration.Refusal
			if tc.want != nil && !errors.Is(err, tc.want) || tc.want == nil && (!errors.As(err, &refusal) || refusal.Remedy != "upgrade") {
				t.Errorf("got %v; want %v", err, tc.want)
			}
			if r.Outcome != migration.OutcomeFailed {
				t.Errorf("got %v; want it failed", r.Outcome)
			}
			b.wantHome(t)
		})
	}
}

// TestGarbageSource: a target that gets garbage gives up and tells.
func TestGarbageSource(t *testing.T) {
	b := newBench(t, 0)
	go func() {
		b.send.Control.Write(make([]byte, 100))
		io.Copy(io.Discard, b.send.Control)
		b.send.Control.Close()
	}()
	r, err := migration.Receive(within(t, 10*time.Second), b.recv)
	if r.Outcome != migration.OutcomeFailed || !errors.Is(err, migration.ErrNotFerry) {
		t.Errorf("got %v, %v; want it failed", r.Outcome, err)
	}
}
