package vmm

import (
	"context"
	"time"

	virtionet "github.com/ferryvmm/ferry/devices/virtio/net"
	"github.com/ferryvmm/ferry/migration"
)

// leaveWithin bounds how long the supervisor may take to part the guest's taps from the network.
const leaveWithin = 2 * time.Second

// forwarding is the network of a guest that leaves this host: what its devices capture.
type forwarding struct {
	m     *Machine
	leave func(context.Context) error // has the supervisor part the taps from the network
	more  chan struct{}               // has an element when there may be more captured

	ways []way // of each network device, in the plan's order
	told bool  // that the barrier has come
	// packets are those that were returned last; their array is used again.
	packets []migration.Packet
}

// way is one device's part.
type way struct {
	capture *virtionet.Capture
	bridged bool // announcements of the target come round to it
	next    int  // number of the frame that was not returned yet
}

var _ migration.NetworkSource = (*forwarding)(nil)

// forward has the move forward what comes for the guest while it stands still; nil: there is no
// network, or it goes with the guest.
func (v *move) forward(leave func(context.Context) error) migration.NetworkSource {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	if v.local || len(v.m.nics()) == 0 {
		return nil
	}
	v.network = &forwarding{m: v.m, leave: leave, more: make(chan struct{}, 1)}
	return v.network
}

// begin begins to capture. Precondition: the machine's mu is held, and the devices are at rest.
func (f *forwarding) begin() {
	f.ways = nil
	for _, s := range f.m.instance.board.slots {
		if s.part.nic != nil {
			f.ways = append(f.ways, way{capture: s.part.nic.Capture(f.more), bridged: s.plan.Net.Bridged})
		}
	}
}

// Commit implements migration.NetworkSource.
func (f *forwarding) Commit() {
	for _, w := range f.ways {
		w.capture.Commit()
	}
}

// Next implements migration.NetworkSource.
func (f *forwarding) Next(ctx context.Context, limit int) migration.Captured {
	for {
		got := f.take(limit)
		if len(got.Packets) > 0 || got.Barrier || ctx.Err() != nil {
			return got
		}
		select {
		case <-f.more:
		case <-ctx.Done():
		}
	}
}

// take returns what there is.
func (f *forwarding) take(limit int) (got migration.Captured) {
	f.packets = f.packets[:0]
	all, passed, bytes := true, f.Echoes(), 0
	for i := range f.ways {
		w := &f.ways[i]
		since := w.capture.Since(w.next)
		got.Dropped += since.Dropped
		for _, frame := range since.Frames {
			if frame.Forward {
				if bytes += len(frame.Packet); bytes > limit && len(f.packets) > 0 {
					all = false
					break
				}
				f.packets = append(f.packets, migration.Packet{Interface: i, Queue: frame.Queue, Data: frame.Packet})
			}
			w.next++
		}
		passed = passed && (since.Barrier || !w.bridged)
	}
	got.Packets, got.Barrier = f.packets, passed && all && !f.told
	f.told = f.told || got.Barrier
	return got
}

// Echoes implements migration.NetworkSource.
func (f *forwarding) Echoes() bool {
	for _, w := range f.ways {
		if w.bridged {
			return true
		}
	}
	return false
}

// Leave implements migration.NetworkSource. A network that is not left still sends what nobody reads
// to this host, until the machine ends.
func (f *forwarding) Leave() {
	for _, w := range f.ways {
		w.capture.End()
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveWithin)
	defer cancel()
	if err := f.leave(ctx); err != nil {
		f.m.log.Warn("the guest's network was not left", "error", err)
	}
}

// recover gives the guest what was captured, once it goes on here. Precondition: the machine's mu is held, and the devices are at rest.
func (f *forwarding) recover() {
	for _, d := range f.m.nics() {
		d.Recover()
	}
	f.ways = nil
}
