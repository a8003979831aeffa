package police

import (
	"sync/atomic"
	"time"

	"github.com/ferryvmm/ferry/netmig"
)

// What a bucket can hold at least: two of the largest segments that are cut
// later, in bits, and a short row of packets.
const (
	leastBits    = 2 * 8 * (64 << 10)
	leastPackets = 32
)

// Owed is what a limiter's buckets lack: the time, in ns, until each is full. It
// travels with the guest, so that a move gives it no burst.
type Owed struct {
	Bits    time.Duration `cbor:",omitempty"`
	Packets time.Duration `cbor:",omitempty"`
}

// Limiter limits the frames of one direction. All may be called by several
// goroutines at once.
type Limiter struct {
	began         time.Time
	bits, packets *bucket // nil: no limit
	refused       atomic.Uint64
}

// NewLimiter limits as a policy says, from where another has left off. It is nil
// if there is nothing to limit; a nil Limiter lets all pass.
func NewLimiter(p netmig.Policy, owed Owed) *Limiter {
	if p.Rate == 0 && p.Packets == 0 {
		return nil
	}
	l := &Limiter{began: time.Now()}
	if p.Rate != 0 {
		l.bits = new(bucket)
		l.bits.init(p.Rate, leastBits, owed.Bits)
	}
	if p.Packets != 0 {
		l.packets = new(bucket)
		l.packets.init(p.Packets, leastPackets, owed.Packets)
	}
	return l
}

// Pass tells whether a frame of size bytes may pass, and counts it.
func (l *Limiter) Pass(size int) bool {
	if l == nil {
		return true
	}
	now := int64(time.Since(l.began))
	if l.packets != nil && !l.packets.take(1, now) {
		l.refused.Add(1)
		return false
	}
	if l.bits != nil && !l.bits.take(8*float64(size), now) {
		if l.packets != nil {
			l.packets.give(1)
		}
		l.refused.Add(1)
		return false
	}
	return true
}

// Refused counts the frames that did not pass.
func (l *Limiter) Refused() uint64 {
	if l == nil {
		return 0
	}
	return l.refused.Load()
}

// Owed is what the limiter's buckets lack now.
func (l *Limiter) Owed() (o Owed) {
	if l == nil {
		return o
	}
	now := int64(time.Since(l.began))
	if l.bits != nil {
		o.Bits = l.bits.owed(now)
	}
	if l.packets != nil {
		o.Packets = l.packets.owed(now)
	}
	return o
}
