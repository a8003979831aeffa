package migration_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/tcptest"
	"github.com/ferryvmm/ferry/migration"
)

// branches makes a bench's target take channels beside bulk, whose ends there are what accepted makes of them.
func (b *bench) branches(t *testing.T, n int, accepted func(net.Conn) net.Conn) {
	b.send.Channels = n
	b.recv.Hello.VersionMax = migration.VersionMax
	joined := make(chan migration.Joined, migration.MaxChannels)
	b.recv.Joined = joined
	b.send.Dial = func(context.Context) (net.Conn, error) {
		dialled, conn := tcptest.Pair(t)
		if accepted != nil {
			conn = accepted(conn)
		}
		go func() { // as the acceptor does
			h, err := migration.ReadHello(conn)
			if err != nil {
				conn.Close()
				return
			}
			joined <- migration.Joined{Role: h.Role, Conn: conn}
		}()
		return dialled, nil
	}
}

func TestChannels(t *testing.T) {
	for _, tc := range []struct {
		name string
		mode migration.Mode
		n    int
	}{{"one", migration.Precopy, 1}, {"two", migration.Precopy, 2}, {"stopcopy", migration.StopCopy, 3}, {"most", migration.Precopy, migration.MaxChannels}} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, 3000)
			b.branches(t, tc.n, nil)
			b.send.Mode = tc.mode
			e := b.run(t, within(t, 30*time.Second))
			if e.sentErr != nil || e.receivedErr != nil {
				t.Fatalf("got %v, %v; want it moved", e.sentErr, e.receivedErr)
			}
			b.wantMoved(t)
			checkResult(t, e.sent, tc.mode)
			if len(e.sent.Channels) != tc.n {
				t.Errorf("got %d channels; want %d", len(e.sent.Channels), tc.n)
			}
			var sum uint64
			for i, c := range e.sent.Channels {
				sum += c.SentBytes
				if c.SentBytes == 0 && tc.n < 8 {
					t.Errorf("channel %d of %d carried nothing", i, tc.n)
				}
			}
			if sum < e.sent.PageBytes || sum > e.sent.SentBytes {
				t.Errorf("channels carried %d bytes; want the %d of pages, and no more than the %d of the move", sum, e.sent.PageBytes, e.sent.SentBytes)
			}
			if got, want := e.received.PageBytes, e.sent.PageBytes; got != want {
				t.Errorf("page bytes at the target: got %d; want %d", got, want)
			}
		})
	}
}

// TestChannelsByDefault: a second one is made at once, and not where all together are limited; a target that cannot be dialled gets all over one.
func TestChannelsByDefault(t *testing.T) {
	for _, tc := range []struct {
		name      string
		bandwidth uint64
		refuses   bool
		dialled   int32
	}{{"two", 0, false, 1}, {"limited", 1e9, false, 0}, {"nobody answers", 0, true, 1}} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, 3000)
			b.branches(t, 0, nil)
			var dialled atomic.Int32
			dial := b.send.Dial
			b.send.Bandwidth = tc.bandwidth
			b.send.Dial = func(ctx context.Context) (net.Conn, error) {
				dialled.Add(1)
				if tc.refuses {
					return nil, errors.New("nobody answers")
				}
				return dial(ctx)
			}
			e := b.run(t, within(t, 30*time.Second))
			if e.sentErr != nil || e.receivedErr != nil {
				t.Fatalf("got %v, %v; want it moved", e.sentErr, e.receivedErr)
			}
			b.wantMoved(t)
			if got := dialled.Load(); got < tc.dialled || tc.dialled == 0 && got > 0 {
				t.Errorf("got %d channels dialled; want %d", got, tc.dialled)
			}
		})
	}
}

// TestChannelsBeforeAPull: what is pushed goes over all channels, what is pulled over bulk.
func TestChannelsBeforeAPull(t *testing.T) {
	b := newBench(t, 3000)
	w := b.pulls(t)
	b.send.Mode, b.send.Channels, b.recv.Hello.VersionMax = migration.Hybrid, 3, migration.VersionMax
	var once sync.Once
	b.send.Progress = func(p migration.Progress) {
		if p.Phase == migration.PhasePull {
			once.Do(func() { w.cut(false) })
		}
	}
	wait := b.touchers(t, 2)
	e := b.run(t, within(t, 30*time.Second))
	wait()
	if e.sentErr != nil || e.receivedErr != nil {
		t.Fatalf("got %v, %v; want it moved", e.sentErr, e.receivedErr)
	}
	b.wantMoved(t)
	if len(e.sent.Channels) != 3 || e.sent.Mode != string(migration.Hybrid) {
		t.Errorf("got %d channels, mode %s; want 3, hybrid", len(e.sent.Channels), e.sent.Mode)
	}
}

// TestChannelsOfAnOlderPeer: it is not dialled.
func TestChannelsOfAnOlderPeer(t *testing.T) {
	b := newBench(t, 0)
	b.branches(t, 4, nil)
	b.recv.Hello.VersionMax = 3
	e := b.run(t, within(t, 30*time.Second))
	if e.sentErr != nil || len(e.sent.Channels) != 1 {
		t.Errorf("got %v, %d channels; want it moved over one", e.sentErr, len(e.sent.Channels))
	}
	b.wantMoved(t)
}

// held is a connection from which nothing is read behind the hello until it is let go.
type held struct {
	net.Conn
	read  atomic.Int64
	letGo chan struct{}
}

func (h *held) Read(p []byte) (int, error) {
	if h.read.Load() >= migration.HelloSize {
		<-h.letGo
	}
	n, err := h.Conn.Read(p)
	h.read.Add(int64(n))
	return n, err
}

// counted notes when something was read last.
type counted struct {
	net.Conn
	last atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.last.Store(time.Now().UnixNano())
	return n, err
}

// TestDelayedChannel: while a channel holds old versions of pages, the guest writes them all anew. None of the old ones may land behind a new one.
func TestDelayedChannel(t *testing.T) {
	b := newBench(t, 0)
	slow := &held{letGo: make(chan struct{})}
	b.branches(t, 2, func(c net.Conn) net.Conn {
		slow.Conn = c
		return slow
	})
	bulk := &counted{Conn: b.recv.Bulk}
	bulk.last.Store(time.Now().UnixNano())
	b.recv.Bulk = bulk
	rewritten := make(chan struct{})
	go func() {
		defer close(rewritten)
		for slow.read.Load() == 0 || time.Since(time.Unix(0, bulk.last.Load())) < 300*time.Millisecond {
			time.Sleep(10 * time.Millisecond)
		}
		for at := uint64(0); at < 24*mib; at += mib {
			if err := b.guest.VM.Write(bytes.Repeat([]byte{byte(at/mib) + 1}, mib), at); err != nil {
				t.Error(err)
			}
		}
		close(slow.letGo)
	}()
	e := b.run(t, within(t, 30*time.Second))
	<-rewritten
	if e.sentErr != nil || e.receivedErr != nil {
		t.Fatalf("got %v, %v; want it moved", e.sentErr, e.receivedErr)
	}
	if got := e.sent.Channels[1].SentBytes; got < mib {
		t.Errorf("the slow channel held %d bytes; want old pages", got)
	}
	// What bulk had not sent yet, on a busy host, it sent anew: that is not dirty any more.
	if len(e.sent.Rounds) < 2 || e.sent.Rounds[0].DirtiedPages == 0 {
		t.Errorf("got rounds %+v; want pages dirty behind the first", e.sent.Rounds)
	}
	b.wantMoved(t)
}

// TestLostChannel: it is a lost link.
func TestLostChannel(t *testing.T) {
	b := newBench(t, 0)
	var first net.Conn
	b.branches(t, 3, func(c net.Conn) net.Conn {
		if first == nil {
			first = c
		}
		return c
	})
	b.send.Bandwidth = 50e6
	var once sync.Once
	b.send.Progress = func(p migration.Progress) {
		if p.Phase == migration.PhasePush && p.SentBytes > mib {
			once.Do(func() { first.Close() })
		}
	}
	e := b.run(t, within(t, 30*time.Second))
	if e.sent.Outcome != migration.OutcomeFailed || e.sentErr == nil {
		t.Errorf("got %v, %v; want it failed", e.sent.Outcome, e.sentErr)
	}
	b.wantHome(t)
}

// TestRefusedChannel: the move ends, and says why.
func TestRefusedChannel(t *testing.T) {
	b := newBench(t, 0)
	b.branches(t, 2, nil)
	b.send.Bandwidth = 50e6
	b.send.Dial = func(context.Context) (net.Conn, error) {
		dialled, conn := tcptest.Pair(t)
		go func() {
			if _, err := migration.ReadHello(conn); err == nil {
				_ = migration.Refuse(conn, &migration.Refusal{Code: "protocol", Message: "no more of them"})
			}
		}()
		return dialled, nil
	}
	e := b.run(t, within(t, 30*time.Second))
	if e.sent.Outcome != migration.OutcomeFailed || e.sent.Reason != "no more of them" {
		t.Errorf("got %v, %q; want the refusal", e.sent.Outcome, e.sent.Reason)
	}
	b.wantHome(t)
}

// TestBandwidthOfAllChannels: the limit is of all together.
func TestBandwidthOfAllChannels(t *testing.T) {
	const limit = 200e6
	b := newBench(t, 0)
	b.branches(t, 4, nil)
	b.send.Bandwidth = limit
	e := b.run(t, within(t, 30*time.Second))
	if e.sentErr != nil {
		t.Fatal(e.sentErr)
	}
	b.wantMoved(t)
	first := e.sent.Rounds[0]
	if first.SentBitsPerS > limit*1.05 {
		t.Errorf("got %.1f Mbit/s; want %.1f at most", first.SentBitsPerS/1e6, limit/1e6)
	}
}
