package migration_test

import (
	"testing"
	"time"

	"github.com/ferryvmm/ferry/migration"
)

// TestBandwidth: what is sent while the guest runs keeps to the limit; a guest that writes faster than that is moved
// all the same, for the last round is not limited.
func TestBandwidth(t *testing.T) {
	const limit = 200e6 // bits a second
	b := newBench(t, 8000)
	b.send.Bandwidth = limit
	e := b.run(t, within(t, 60*time.Second))
	if e.sentErr != nil || e.receivedErr != nil {
		t.Fatalf("got %v, %v; want it moved", e.sentErr, e.receivedErr)
	}
	b.wantMoved(t)
	checkResult(t, e.sent, migration.Precopy)
	var bytes uint64
	var ms float64
	pushed := e.sent.Rounds[:len(e.sent.Rounds)-1]
	for _, r := range pushed {
		bytes, ms = bytes+r.Bytes, ms+r.MS
	}
	rate := 8 * float64(bytes) / ms * 1000
	t.Logf("%.1f Mbit/s in %d rounds", rate/1e6, len(pushed))
	if rate > limit*1.05 {
		t.Errorf("got %.1f Mbit/s; want %.1f at most", rate/1e6, limit/1e6)
	}
}

func TestLimitedMoveIsCancelled(t *testing.T) {
	b := newBench(t, 0)
	b.send.Bandwidth = 1e6 // minutes
	cancel := make(chan struct{})
	b.send.Cancel = cancel
	var once bool
	b.send.Progress = func(p migration.Progress) {
		if p.Phase == migration.PhasePush && !once {
			once = true
			time.AfterFunc(100*time.Millisecond, func() { close(cancel) })
		}
	}
	e := b.run(t, within(t, 30*time.Second))
	if e.sent.Outcome != migration.OutcomeCancelled {
		t.Errorf("got %v, %v; want it cancelled", e.sent.Outcome, e.sentErr)
	}
	b.wantHome(t)
}
