package blk

import "sync/atomic"

// Counters are what a disk has done since it was made here.
type Counters struct {
	Reads, Writes           uint64 // requests that succeeded
	ReadBytes, WrittenBytes uint64
	Flushes                 uint64
	Discards                uint64 // and write-zeroes
	Errors                  uint64 // requests that failed, those that made no sense among them
}

type counters struct {
	reads, writes, readBytes, writtenBytes, flushes, discards, errors atomic.Uint64
}

// Counters may be asked for at any time.
func (d *Device) Counters() Counters {
	c := &d.counters
	return Counters{
		Reads: c.reads.Load(), Writes: c.writes.Load(),
		ReadBytes: c.readBytes.Load(), WrittenBytes: c.writtenBytes.Load(),
		Flushes: c.flushes.Load(), Discards: c.discards.Load(), Errors: c.errors.Load(),
	}
}

// count counts a request that is done.
func (c *counters) count(kind uint32, bytes uint64, status byte) {
	switch {
	case status != statusOK:
		c.errors.Add(1)
	case kind == typeIn:
		c.reads.Add(1)
		c.readBytes.Add(bytes)
	case kind == typeOut:
		c.writes.Add(1)
		c.writtenBytes.Add(bytes)
	case kind == typeFlush:
		c.flushes.Add(1)
	case kind == typeDiscard, kind == typeWriteZeroes:
		c.discards.Add(1)
	}
}
