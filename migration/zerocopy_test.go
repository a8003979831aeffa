package migration_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/migration"
)

// TestZeroCopy moves a guest that writes from registered memory, which the kernel copies over loopback.
func TestZeroCopy(t *testing.T) {
	for _, channels := range []int{1, 3} {
		b := newBench(t, 3000)
		b.branches(t, channels, nil)
		b.send.DataPath = migration.PathZeroCopy
		before := dataBytes(t, b.guest.Memory)
		e := b.run(t, within(t, 30*time.Second))
		if e.sentErr != nil || e.receivedErr != nil {
			t.Fatalf("got %v, %v; want it moved", e.sentErr, e.receivedErr)
		}
		b.wantMoved(t)
		checkResult(t, e.sent, migration.Precopy)
		if got := dataBytes(t, b.guest.Memory); got > before+guestmem.PageSize { // Save writes a page
			t.Errorf("data at the source: got %d bytes; want %d as before", got, before)
		}
		for i, c := range e.sent.Channels {
			if c.RegisteredBytes < 4*mib || e.sent.Path != migration.PathZeroCopy {
				t.Errorf("path %q, channel %d: got %+v; want it to send from registered memory", e.sent.Path, i, c)
			}
		}
		t.Logf("%d channels: %.0f Mbit/s, path %q, %q, %+v", channels, e.sent.Rounds[0].SentBitsPerS/1e6, e.sent.Path, e.sent.PathReason, e.sent.Channels)
	}
}

func dataBytes(t *testing.T, m *guestmem.Memory) uint64 {
	t.Helper()
	n, err := m.DataBytes()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestZeroCopyFallsBack: where the kernel copies, it is left to that, and the result says so.
func TestZeroCopyFallsBack(t *testing.T) {
	b := newBench(t, 0)
	e := b.run(t, within(t, 30*time.Second))
	if e.sentErr != nil {
		t.Fatal(e.sentErr)
	}
	b.wantMoved(t)
	if e.sent.Path != migration.PathCopy || e.sent.PathReason == "" || e.sent.Channels[0].ZeroCopyBytes != 0 {
		t.Errorf("got path %q, %q, %+v; want copies over loopback, and why", e.sent.Path, e.sent.PathReason, e.sent.Channels)
	}
	if why := e.sent.PathReason; !strings.Contains(why, "copies") && !strings.Contains(why, "io_uring") && !strings.Contains(why, "locked memory") {
		t.Errorf("got %q; want one of the reasons that there are", why)
	}
}

// TestPunchedWhileSent: pages that were sent from registered memory become holes and are written again, while more of it is being sent. The next round, with the
// guest running, sends what is new: what is still registered of the old pages is not.
func TestPunchedWhileSent(t *testing.T) {
	const size = 8 * mib
	b := newBench(t, 0)
	b.send.DataPath, b.send.DowntimeLimit = migration.PathZeroCopy, time.Millisecond
	slow := &held{Conn: b.recv.Bulk, letGo: make(chan struct{})}
	b.recv.Bulk = slow
	punched := make(chan error, 1)
	go func() {
		defer close(slow.letGo)
		for slow.read.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(100 * time.Millisecond) // the connection is full: sends are under way
		punched <- errors.Join(b.guest.Memory.Punch(0, size), b.guest.VM.Write(bytes.Repeat([]byte("anew"), size/4), 0))
	}()
	e := b.run(t, within(t, 30*time.Second))
	if err := <-punched; err != nil {
		t.Fatal(err)
	}
	if e.sentErr != nil || e.receivedErr != nil {
		t.Fatalf("got %v, %v; want it moved", e.sentErr, e.receivedErr)
	}
	b.wantMoved(t)
	if got := e.sent.Channels[0].RegisteredBytes; got < 24*mib {
		t.Errorf("got %d bytes from registered memory; want more than the 24 MiB that there were: %+v", got, e.sent.Rounds)
	}
	if n := len(e.sent.Rounds); n < 3 || e.sent.Rounds[1].Bytes < size {
		t.Errorf("got rounds %+v; want the new pages in one while the guest ran", e.sent.Rounds)
	}
}

// TestZeroCopyIsInterrupted: a move whose target takes nothing can be cancelled.
func TestZeroCopyIsInterrupted(t *testing.T) {
	b := newBench(t, 0)
	b.send.DataPath = migration.PathZeroCopy
	slow := &held{Conn: b.recv.Bulk, letGo: make(chan struct{})}
	b.recv.Bulk = slow
	cancel := make(chan struct{})
	b.send.Cancel = cancel
	time.AfterFunc(200*time.Millisecond, func() { close(cancel) })
	received := make(chan error)
	go func() {
		_, err := b.receive(within(t, 30*time.Second))
		received <- err
	}()
	sent, err := migration.Send(within(t, 30*time.Second), b.send)
	close(slow.letGo)
	if <-received == nil || sent.Outcome != migration.OutcomeCancelled {
		t.Errorf("got %v, %v; want it cancelled", sent.Outcome, err)
	}
	b.wantHome(t)
}
