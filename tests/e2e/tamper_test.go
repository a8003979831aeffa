package e2e

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/tests/drive"
)

// meddler is a network that changes what goes over it: one bit, of what a source sends.
type meddler struct {
	ctx    context.Context
	world  *drive.World
	target string
	left   atomic.Int64 // bytes before the one that is changed
	group  sync.WaitGroup
}

// meddle is what a source is to dial in a target's place, until the test ends.
func meddle(t *testing.T, ctx context.Context, w *drive.World, target string, after int64) (address string) {
	t.Helper()
	l, err := w.Lab.Hosts[0].Listen(":0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	m := &meddler{ctx: ctx, world: w, target: strings.TrimPrefix(target, "tcp:")}
	m.left.Store(after)
	m.group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			m.group.Go(func() { m.pass(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		cancel()
		m.group.Wait()
	})
	return "tcp:" + l.Addr().String()
}

// pass passes one connection on until either end closes it.
func (m *meddler) pass(from net.Conn) {
	defer from.Close()
	to, err := m.world.Lab.Hosts[0].Dial(m.ctx, m.target)
	if err != nil {
		return
	}
	defer to.Close()
	stop := context.AfterFunc(m.ctx, func() { from.Close(); to.Close() })
	defer stop()
	var both sync.WaitGroup
	defer both.Wait()
	both.Go(func() {
		defer from.Close()
		_, _ = io.Copy(from, to)
	})
	defer to.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if left := m.left.Add(int64(-n)); n > 0 && left <= 0 && left+int64(n) > 0 {
			b[n-1] ^= 1
		}
		if _, writeErr := to.Write(b[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

// TestTLSTampering: what is changed on its way is found out before it is used: a push fails, and the guest goes on at its source; a pull goes on over
// other connections.
func TestTLSTampering(t *testing.T) {
	ctx := within(t, 3*time.Minute)
	w := encrypted(t)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: "fill=32 wss=8 rate=2 countreg=1"})
	// The target has a certificate that is of the meddler's address, too: it is TLS that finds out, not the name.
	own := w.Sites[1].TLS
	exec(t, ctx, w.Sites[1], 0, "certs", filepath.Dir(own), "--host", w.Sites[1].Address()+","+w.Sites[0].Address())
	target, err := w.Sites[1].Receive(trip.Observer, "target")
	if err != nil {
		t.Fatal(err)
	}
	m, err := w.Sites[0].Migrate(ctx, "alpha", meddle(t, ctx, w, target.Listening, 4<<20), "--mode", "precopy")
	if err != nil {
		t.Fatal(err)
	}
	failedAtSource(t, m, "failed")
	stays(t, ctx, trip)
	if m, err = w.Sites[0].Migrate(ctx, "alpha", meddle(t, ctx, w, target.Listening, 4<<20), "--mode", "postcopy"); err != nil {
		t.Fatal(err)
	}
	if m.Outcome != "completed" || m.Rejoins == 0 {
		t.Errorf("got %+v; want it completed over other connections", m)
	}
	trip.Arrived(target)
	if err := trip.Verify(ctx); err != nil {
		t.Error(err)
	}
	stop(t, ctx, trip)
}
