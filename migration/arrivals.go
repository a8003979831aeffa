package migration

import (
	"net"
	"sync"
	"time"
)

const (
	// heldTime is the longest that a guest that runs gets nothing from its host's network.
	heldTime = 20 * time.Millisecond
	// unreadTime is the time between two looks whether the source's words are read.
	unreadTime = 250 * time.Microsecond
)

// arrivals brings the guest what its source forwards, before anything that this host's network has for it.
type arrivals struct {
	mu      sync.Mutex       // guards what follows, and is held while network is used
	network NetworkTarget    // nil: nothing is forwarded, or the guest has no network
	held    bool             // the guest gets nothing else
	timer   *time.Timer      // releases it; nil: it has not started
	last    time.Time        // it is released by then
	source  net.Conn         // its words
	counts  deliveredMessage // so far
}

// hold prepares the network of a guest that is about to start.
func (a *arrivals) hold(network NetworkTarget, source net.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.source = source
	if a.network = network; network != nil {
		network.Hold()
		a.held = true
	}
}

// started says that the guest runs: it is not held back for long.
func (a *arrivals) started() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held {
		a.last = time.Now().Add(heldTime)
		a.timer = time.AfterFunc(drainTime, a.release)
	}
}

// release lets through what this host has for the guest. What the source has forwarded in time, and this host was too busy to
// read, still comes first.
func (a *arrivals) release() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held && unread(a.source) && time.Now().Before(a.last) {
		a.timer.Reset(unreadTime)
		return
	}
	a.releaseLocked()
}

func (a *arrivals) releaseLocked() {
	if a.held {
		a.held = false
		a.network.Release()
	}
}

// deliver gives packets to the guest. With none of them the source has said that it has sent all that were in time.
func (a *arrivals) deliver(packets []Packet) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(packets) == 0 {
		a.releaseLocked()
	}
	n := uint64(len(packets))
	a.counts.Packets += n
	if !a.held {
		a.counts.Late += n
	}
	for _, p := range packets {
		if a.network == nil || !a.network.Deliver(p) {
			a.counts.Dropped++
		}
	}
}

// drained says that there will be no more packets, and returns what became of them.
func (a *arrivals) drained() deliveredMessage {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.releaseLocked()
	return a.counts
}

// end releases a guest that has started. Nothing is delivered from here on.
func (a *arrivals) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timer != nil {
		a.timer.Stop()
		a.releaseLocked()
	}
}

// forwarded is what became of the packets.
func (a *arrivals) forwarded() Forwarded {
	a.mu.Lock()
	defer a.mu.Unlock()
	return Forwarded{Frames: a.counts.Packets, Dropped: a.counts.Dropped, Late: a.counts.Late}
}
