package police

import (
	"math"
	"sync/atomic"
	"time"
)

// burst is how long a bucket that has been left alone can be emptied from at any
// speed: enough for TCP to fill its link in spite of drops.
const burst = 50 * time.Millisecond

// bucket is a token bucket, told as the time at which it will be full again.
type bucket struct {
	cost  float64      // of a token, in ns
	depth int64        // ns to fill it when it is empty
	full  atomic.Int64 // when it is full again, ns since the clock began; of the past: it is
}

// init makes it hold what comes in a burst's time at so many tokens a second,
// but at least some tokens. What it lacks at the beginning is owed, as Owed says.
func (b *bucket) init(perSecond uint64, least float64, owed time.Duration) {
	b.cost = float64(time.Second) / float64(perSecond)
	b.depth = max(int64(burst), int64(math.Ceil(least*b.cost)))
	b.full.Store(min(max(int64(owed), 0), b.depth))
}

// take takes tokens out, all or none.
func (b *bucket) take(tokens float64, now int64) bool {
	price := b.price(tokens)
	for {
		full := b.full.Load()
		next := max(full, now) + price
		if next-now > b.depth {
			return false
		}
		if b.full.CompareAndSwap(full, next) {
			return true
		}
	}
}

// give puts back what was taken in vain.
func (b *bucket) give(tokens float64) { b.full.Add(-b.price(tokens)) }

// price is how long tokens take to come, in ns.
func (b *bucket) price(tokens float64) int64 { return int64(math.Round(tokens * b.cost)) }

// owed is how long it takes to fill again.
func (b *bucket) owed(now int64) time.Duration {
	return time.Duration(max(b.full.Load()-now, 0))
}
