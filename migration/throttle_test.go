package migration_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/migration"
)

// slowConn takes a time for each byte.
type slowConn struct {
	net.Conn
	bytesPerSecond float64
	free           time.Time // when it has sent all that it was given
}

func (c *slowConn) Write(p []byte) (int, error) {
	if now := time.Now(); c.free.Before(now) {
		c.free = now
	}
	c.free = c.free.Add(time.Duration(float64(len(p)) / c.bytesPerSecond * float64(time.Second)))
	if wait := time.Until(c.free); wait > 2*time.Millisecond {
		time.Sleep(wait)
	}
	return c.Conn.Write(p)
}

// slowBench has a guest of which 4 MiB are written again and again, faster than its link takes them.
func slowBench(t *testing.T) *bench {
	b := newBenchOf(t, 64*mib, 4*mib, 16000)
	t.Cleanup(func() { b.close(t) })
	b.send.Bulk = &slowConn{Conn: b.send.Bulk, bytesPerSecond: 16 * mib}
	return b
}

func TestThrottledGuestIsMoved(t *testing.T) {
	for _, tc := range []struct {
		mode    migration.Mode
		ceiling int
		want    migration.Mode // what is done
	}{
		{migration.Precopy, 95, migration.Precopy},
		{migration.Auto, 95, migration.Precopy},
		{migration.Auto, 20, migration.Hybrid}, // not enough: the rest is pulled
	} {
		t.Run(fmt.Sprint(tc.mode, " up to ", tc.ceiling), func(t *testing.T) {
			b := slowBench(t)
			if tc.mode == migration.Auto {
				b.pulls(t)
			}
			b.send.Mode, b.send.Throttle, b.send.DowntimeLimit = tc.mode, tc.ceiling, 100*time.Millisecond
			most := 0
			b.send.Progress = func(p migration.Progress) { most = max(most, p.ThrottlePercent) }
			e := b.run(t, within(t, 60*time.Second))
			if e.sentErr != nil || e.receivedErr != nil {
				t.Fatalf("got %v, %v; want it moved", e.sentErr, e.receivedErr)
			}
			b.wantMoved(t)
			got := e.sent.Throttle
			if got.MaxPercent < min(20, tc.ceiling) || got.MaxPercent > tc.ceiling || got.MS <= 0 || got.MS > e.sent.TotalMS || most != got.MaxPercent {
				t.Errorf("got throttled %+v, %d%% in reports, of %v ms; want some, up to %d%%, for a part of it", got, most, e.sent.TotalMS, tc.ceiling)
			}
			if e.sent.Mode != string(tc.want) {
				t.Errorf("got %s; want %s", e.sent.Mode, tc.want)
			}
			if got := b.guest.Throttled(); got != 0 {
				t.Errorf("at the end: got %d%%; want 0", got)
			}
			t.Logf("%+v, downtime %.1f ms, %d rounds", got, e.sent.DowntimeMS, len(e.sent.Rounds))
		})
	}
}

// TestThrottleEndsWithTheMove, however that ends; and keeps to its ceiling.
func TestThrottleEndsWithTheMove(t *testing.T) {
	const ceiling = 30
	b := slowBench(t)
	b.send.Throttle = ceiling
	cancel := make(chan struct{})
	b.send.Cancel = cancel
	cancelled := false
	b.send.Progress = func(p migration.Progress) {
		if p.ThrottlePercent > 0 && !cancelled {
			cancelled = true
			if got := b.guest.Throttled(); got != ceiling || p.ThrottlePercent != ceiling {
				t.Errorf("got %d%%, reported as %d%%; want the ceiling, %d%%", got, p.ThrottlePercent, ceiling)
			}
			close(cancel)
		}
	}
	e := b.run(t, within(t, 60*time.Second))
	if e.sent.Outcome != migration.OutcomeCancelled || e.sent.Throttle.MaxPercent != ceiling {
		t.Errorf("got %v, %v, %+v; want it cancelled, throttled to %d%%", e.sent.Outcome, e.sentErr, e.sent.Throttle, ceiling)
	}
	b.wantHome(t)
	if got := b.guest.Throttled(); got != 0 {
		t.Errorf("at the end: got %d%%; want 0", got)
	}
}
