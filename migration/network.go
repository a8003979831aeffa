package migration

import "context"

// Packet is an Ethernet frame on its way to a guest.
type Packet struct {
	Interface int // the guest's interface, by its number in the plan, from 0
	Queue     int // of the interface: the pair of queues that it came to, from 0
	// Data is a virtio-net header of 12 bytes, section 5.1.6 of virtio 1.2, and the
	// Ethernet frame behind it.
	Data []byte
}

// Captured is what came for a guest while it stood still.
type Captured struct {
	Packets []Packet // in the order in which each queue got them; valid until the next call of Next
	// Barrier: since the commit left, on every interface that is on a bridge a frame of the guest's own
	// has come in, behind these packets: the target's announcement has come round. So whatever
	// the network has sent this way is here, but for single packets that were overtaken. It is said once.
	Barrier bool
	// Dropped is how many packets did not fit the buffers, since the guest's Pause.
	Dropped uint64
}

// NetworkSource is a guest's network at its source, from [Guest.Pause] on: what still comes
// for the guest is captured, in bounded buffers. A copy of each packet is kept until Leave is
// called, and [Guest.Resume] gives all of them to the guest first, whether or not they were sent:
// so a move that fails loses none. Its methods are called by one goroutine at a time, which is not
// that of Guest's, from the commit on, and never after Guest.Resume was.
type NetworkSource interface {
	// Commit is called just before the commit leaves. Broadcasts and multicasts that are captured
	// later reach the target by themselves, and Next leaves them out, as it always does what is
	// for somebody else. It does not wait.
	Commit()
	// Next returns packets that it did not return before, of limit bytes together or a single larger one.
	// Where there are none it waits: for some, for the barrier, or until ctx is done.
	// With ctx done it returns what there is.
	Next(ctx context.Context, limit int) Captured
	// Echoes says whether announcements of the target are expected to come round on some interface:
	// they do where it is on a bridge, not where it is routed.
	Echoes() bool
	// Leave is called when the target runs the guest and nothing is forwarded any more: no copy is needed,
	// and the host's network is to send the guest nothing more here.
	Leave()
}

// NetworkTarget is a guest's network at its target. Its methods are called by one goroutine at a
// time, do not wait, and are called only if the source forwards what it captures.
type NetworkTarget interface {
	// Hold is called before [Built.Start]: the guest, once it runs, is given what is delivered,
	// and nothing that came to this host, until Release.
	Hold()
	// Deliver gives the guest a packet, or keeps a copy until it has room. It returns false for one that was
	// dropped: because copies have become too many, or the guest has no such interface or queue.
	Deliver(Packet) bool
	// Release ends what Hold began. Packets that are delivered later come among those of this host.
	Release()
}
