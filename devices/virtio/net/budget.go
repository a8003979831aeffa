package net

// Bounds of the packets of a device that are kept in memory, one for each
// purpose, whatever their number of queues.
const (
	maxKept      = 4096
	maxKeptBytes = 4 << 20 // with their headers
)

// budget is what packets that are kept take of their bounds.
type budget struct{ packets, bytes int }

// take is false if a packet of n bytes is too many.
func (b *budget) take(n int) bool {
	if b.packets == maxKept || b.bytes+n > maxKeptBytes {
		return false
	}
	b.packets++
	b.bytes += n
	return true
}

// give is for a packet that was kept.
func (b *budget) give(n int) {
	b.packets--
	b.bytes -= n
}
