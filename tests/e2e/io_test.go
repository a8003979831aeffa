package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

// TestDiskMovesInTheMiddleOfIO moves a guest with many requests in flight, each
// record of which it reads back and verifies, with both kinds of cache.
func TestDiskMovesInTheMiddleOfIO(t *testing.T) {
	for _, cache := range []string{"none", "writeback"} {
		t.Run(cache, func(t *testing.T) {
			ctx := within(t, 2*time.Minute)
			w := newWorld(t, 2)
			disk := "root=" + newImage(t, 64<<20) + ",cache=" + cache
			trip := boot(t, ctx, w, drive.Guest{Cmdline: "fill=8 wss=4 blkverify=1", Args: []string{"--disk", disk}})
			for range 4 {
				completes(t, ctx, trip)
				before := done(t, ctx, trip)
				if _, err := trip.Observer.WaitStat(ctx, func(s lab.Stat) bool { return s.Values["blk_done"] > before }); err != nil {
					t.Fatalf("the disk does not go on after the move: %v", err)
				}
			}
			stop(t, ctx, trip)
		})
	}
}

// done is how many requests of its disk the guest has had served.
func done(t *testing.T, ctx context.Context, trip *drive.Trip) float64 {
	t.Helper()
	s, err := trip.Observer.WaitStat(ctx, func(lab.Stat) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	return s.Values["blk_done"]
}

// guestIP is the guest's address on the lab's network.
var guestIP = netip.MustParseAddr("10.77.0.100")

// TestEchoesAcrossMoves has a third host talk to a guest that moves between two
// bridges: no answer may be wrong, and every move must be followed by answers.
func TestEchoesAcrossMoves(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 3)
	bridged(t, w)
	trip := boot(t, ctx, &drive.World{Lab: w.Lab, Sites: w.Sites[:2]}, drive.Guest{
		Cmdline: fmt.Sprintf("fill=8 wss=4 net=%v/24", guestIP),
		Args:    []string{"--net", "eth=bridge=" + lab.BridgeName},
		Receive: []string{"--net", "eth=bridge=" + lab.BridgeName},
	})
	e := startEcho(t, w.Lab.Hosts[2])
	e.await(t, ctx)
	for range 3 {
		completes(t, ctx, trip)
		e.await(t, ctx)
	}
	e.stop(t)
	stop(t, ctx, trip)
}

// echo sends numbered packets to the guest and checks the answers.
type echo struct {
	conn     net.Conn
	quit     chan struct{}
	ended    chan error
	answered atomic.Uint64
}

// echoPause is the time between two packets, and how long an answer is awaited
// before the next is sent.
const (
	echoPause  = 2 * time.Millisecond
	echoWithin = 100 * time.Millisecond
)

// startEcho begins to talk to the guest from a host.
func startEcho(t *testing.T, from *lab.Host) *echo {
	t.Helper()
	e := &echo{quit: make(chan struct{}), ended: make(chan error, 1)}
	err := from.Do(func() (err error) {
		e.conn, err = net.Dial("udp", netip.AddrPortFrom(guestIP, 7).String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { e.ended <- e.talk() }()
	t.Cleanup(func() { e.conn.Close() })
	return e
}

// talk sends one packet after another. A lost answer is no error; a wrong one is.
func (e *echo) talk() error {
	packet, got := make([]byte, 256), make([]byte, 2048)
	for n := uint64(1); ; n++ {
		select {
		case <-e.quit:
			return nil
		case <-time.After(echoPause):
		}
		for i := range packet {
			packet[i] = byte(n) + byte(i)
		}
		binary.LittleEndian.PutUint64(packet, n)
		if _, err := e.conn.Write(packet); err != nil {
			return err
		}
		_ = e.conn.SetReadDeadline(time.Now().Add(echoWithin))
		for {
			size, err := e.conn.Read(got)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return err
			}
			if size != len(packet) {
				return fmt.Errorf("got an answer of %d bytes; want %d", size, len(packet))
			}
			if binary.LittleEndian.Uint64(got) < n {
				continue // of a packet that was given up
			}
			if !bytes.Equal(got[:size], packet) {
				return fmt.Errorf("got answer %x; want %x", got[:size], packet)
			}
			e.answered.Add(1)
			break
		}
	}
}

// await waits for some answers from now on.
func (e *echo) await(t *testing.T, ctx context.Context) {
	t.Helper()
	const some = 10
	want := e.answered.Load() + some
	tick := time.NewTicker(echoPause)
	defer tick.Stop()
	for e.answered.Load() < want {
		select {
		case err := <-e.ended:
			t.Fatalf("the echo ended: %v", err)
		case <-ctx.Done():
			t.Fatalf("got %d answers; want %d", e.answered.Load(), want)
		case <-tick.C:
		}
	}
}

// stop ends the talk, none of whose answers may have been wrong.
func (e *echo) stop(t *testing.T) {
	t.Helper()
	close(e.quit)
	if err := <-e.ended; err != nil {
		t.Error(err)
	}
}
