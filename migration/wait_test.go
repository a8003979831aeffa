package migration_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/migration/migrationtest"
)

// waiting makes a bench whose move waits once the guest is paused, and calls
// then with the bench when it does.
func waiting(t *testing.T, mode migration.Mode, then func(*bench, chan struct{})) *bench {
	b := newBench(t, 2000)
	proceed := make(chan struct{})
	b.send.Mode, b.send.Continue = mode, proceed
	var once sync.Once
	b.send.Progress = func(p migration.Progress) {
		if p.Phase == migration.PhaseWait {
			once.Do(func() {
				if b.world.Running(migrationtest.Source) {
					t.Error("the guest runs while its move waits at the switch")
				}
				go then(b, proceed)
			})
		}
	}
	return b
}

func TestWaitIsContinued(t *testing.T) {
	for _, mode := range []migration.Mode{migration.Precopy, migration.StopCopy} {
		t.Run(string(mode), func(t *testing.T) {
			// Longer than a peer may be silent in the switchover: the wait is no part of that.
			const held = 1200 * time.Millisecond
			b := waiting(t, mode, func(_ *bench, proceed chan struct{}) {
				time.AfterFunc(held, func() { close(proceed) })
			})
			b.send.DowntimeLimit = 20 * time.Millisecond // which the wait breaks: no reason to go back
			e := b.run(t, within(t, 30*time.Second))
			if e.sentErr != nil || e.receivedErr != nil {
				t.Fatalf("got %v, %v; want it moved", e.sentErr, e.receivedErr)
			}
			b.wantMoved(t)
			checkResult(t, e.sent, mode)
			if got, want := e.sent.Downtime.PauseMS, 1000*held.Seconds(); got < want {
				t.Errorf("got a pause of %v ms; want the wait of %v ms in it", got, want)
			}
		})
	}
}

func TestWaitIsCancelled(t *testing.T) {
	cancel := make(chan struct{})
	b := waiting(t, migration.Precopy, func(*bench, chan struct{}) { close(cancel) })
	b.send.Cancel = cancel
	e := b.run(t, within(t, 30*time.Second))
	if !errors.Is(e.sentErr, migration.ErrCancelled) || e.sent.Outcome != migration.OutcomeCancelled {
		t.Errorf("got %v, %v; want it cancelled", e.sent.Outcome, e.sentErr)
	}
	b.wantHome(t)
}

func TestWaitTimesOut(t *testing.T) {
	b := waiting(t, migration.Precopy, func(*bench, chan struct{}) {})
	b.send.Timeout = time.Second
	e := b.run(t, within(t, 30*time.Second))
	if !errors.Is(e.sentErr, migration.ErrTimeout) || e.sent.Outcome != migration.OutcomeCancelled {
		t.Errorf("got %v, %v; want a timeout", e.sent.Outcome, e.sentErr)
	}
	b.wantHome(t)
}

func TestTargetGoesAwayInAWait(t *testing.T) {
	b := waiting(t, migration.Precopy, func(b *bench, _ chan struct{}) { b.cut() })
	b.tap(func(byte, bool) {})
	e := b.run(t, within(t, 30*time.Second))
	if !errors.Is(e.sentErr, migration.ErrLinkLost) || e.sent.Outcome != migration.OutcomeFailed {
		t.Errorf("got %v, %v; want the link lost", e.sent.Outcome, e.sentErr)
	}
	b.wantHome(t)
}
