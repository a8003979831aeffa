package vcpu

import (
	"sync/atomic"
	"time"
)

// Counters are why a vCPU came back from KVM_RUN since it was made, and how long it was throttled.
type Counters struct {
	IO, MMIO  uint64 // accesses, of a port and of a device's memory
	RingFull  uint64 // its dirty ring had to be emptied
	Signals   uint64 // kicks among them
	Throttled time.Duration
}

// exitCounts are written by the vCPU's own thread.
type exitCounts struct{ io, mmio, ringFull atomic.Uint64 }

// Counters returns those of each vCPU.
func (s *Set) Counters() []Counters {
	all := make([]Counters, len(s.cpus))
	for i, c := range s.cpus {
		all[i] = Counters{
			IO: c.exits.io.Load(), MMIO: c.exits.mmio.Load(), RingFull: c.exits.ringFull.Load(),
			Signals: c.interrupted.Load(), Throttled: time.Duration(c.rested.Load()),
		}
	}
	return all
}
