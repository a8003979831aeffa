package migrationtest

import (
	"context"
	"slices"
	"sync"

	"github.com/ferryvmm/ferry/migration"
)

// Network is the fake network of a Guest at its source, and of a Host's guest at its target. What
// comes to it is what Arrive is given.
type Network struct {
	// Routed: no announcement comes round.
	Routed bool
	// Refuse, if set, has the target drop what it is true for.
	Refuse func(migration.Packet) bool
	// OnRelease, if set, is called in Release.
	OnRelease func()

	mu        sync.Mutex // guards all below
	captured  []migration.Packet
	next      int
	barrier   bool
	told      bool // that it has come
	dropped   uint64
	grown     chan struct{} // closed when any of it changes
	calls     []string
	delivered []migration.Packet
}

var (
	_ migration.NetworkSource = (*Network)(nil)
	_ migration.NetworkTarget = (*Network)(nil)
)

// NewNetwork makes a network in which nothing happens.
func NewNetwork() *Network { return &Network{grown: make(chan struct{})} }

func (n *Network) change(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
	close(n.grown)
	n.grown = make(chan struct{})
}

// Arrive has packets come for the guest where it was.
func (n *Network) Arrive(packets ...migration.Packet) {
	n.change(func() { n.captured = append(n.captured, packets...) })
}

// Announced has the target's announcement come round.
func (n *Network) Announced() { n.change(func() { n.barrier = true }) }

// Overflow has packets find the buffers full.
func (n *Network) Overflow(packets uint64) { n.change(func() { n.dropped += packets }) }

// Commit implements migration.NetworkSource.
func (n *Network) Commit() { n.call("commit") }

// Next implements migration.NetworkSource.
func (n *Network) Next(ctx context.Context, limit int) migration.Captured {
	for {
		n.mu.Lock()
		grown := n.grown
		got := migration.Captured{Dropped: n.dropped}
		for size := 0; n.next < len(n.captured); n.next++ {
			size += len(n.captured[n.next].Data)
			if size > limit && len(got.Packets) > 0 {
				break
			}
			got.Packets = append(got.Packets, n.captured[n.next])
		}
		got.Barrier = n.barrier && n.next == len(n.captured) && !n.told
		n.told = n.told || got.Barrier
		n.mu.Unlock()
		if len(got.Packets) > 0 || got.Barrier || ctx.Err() != nil {
			return got
		}
		select {
		case <-ctx.Done():
		case <-grown:
		}
	}
}

// Echoes implements migration.NetworkSource.
func (n *Network) Echoes() bool { return !n.Routed }

// Leave implements migration.NetworkSource.
func (n *Network) Leave() { n.call("leave") }

// Hold implements migration.NetworkTarget.
func (n *Network) Hold() { n.call("hold") }

// Deliver implements migration.NetworkTarget.
func (n *Network) Deliver(p migration.Packet) bool {
	if n.Refuse != nil && n.Refuse(p) {
		return false
	}
	n.change(func() {
		p.Data = slices.Clone(p.Data)
		n.delivered = append(n.delivered, p)
	})
	return true
}

// Release implements migration.NetworkTarget.
func (n *Network) Release() {
	n.call("release")
	if n.OnRelease != nil {
		n.OnRelease()
	}
}

func (n *Network) call(name string) { n.change(func() { n.calls = append(n.calls, name) }) }

// Calls are the other methods that were called, in order.
func (n *Network) Calls() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.calls)
}

// Delivered are the packets that the guest has got.
func (n *Network) Delivered() []migration.Packet {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.delivered)
}
