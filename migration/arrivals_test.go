package migration

import (
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/tcptest"
)

// releases is a guest's network that tells when it is let through.
type releases chan struct{}

func (r releases) Hold()               {}
func (r releases) Deliver(Packet) bool { return true }
func (r releases) Release()            { close(r) }

// TestUnreadIsNotLate: what the source has forwarded comes first, however late this host reads it.
func TestUnreadIsNotLate(t *testing.T) {
	source, conn := tcptest.Pair(t)
	if _, err := source.Write([]byte("frames")); err != nil {
		t.Fatal(err)
	}
	var a arrivals
	network := make(releases)
	for a.hold(network, conn); !unread(conn); { // until they have come
		time.Sleep(unreadTime)
	}
	a.started()
	a.mu.Lock()
	a.last = time.Now().Add(time.Hour) // this host is slow
	a.mu.Unlock()
	select {
	case <-network:
		t.Fatal("released before what had come was read")
	case <-time.After(5 * drainTime):
	}
	a.deliver(make([]Packet, 3))
	if _, err := conn.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	<-network
	if got, want := a.forwarded(), (Forwarded{Frames: 3}); got != want {
		t.Errorf("got %+v; want %+v", got, want)
	}
}
