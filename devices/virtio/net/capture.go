package net

import (
	"errors"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// Frame is a packet that was captured.
type Frame struct {
	Queue   int    // of the tap, from 0
	Packet  []byte // a header of virtio, 12 bytes, and an Ethernet frame
	Forward bool   // another host, where the guest runs, does not get it by itself
}

// Captured is what a device has captured.
type Captured struct {
	Frames  []Frame // in the order in which each queue got them; they do not change
	Dropped uint64  // frames to be forwarded for which there was no room, since the capture began
	// Barrier: behind these frames came one in the guest's own name, sent by another host.
	Barrier bool
}

// Capture reads the queues of a tap that nobody else reads, and keeps what it reads: up to
// 4096 packets, or 4 MiB. Its methods may be called from any goroutine.
type Capture struct {
	sockets []*socket // of the pairs in use
	mac     [6]byte   // the guest's
	keep    bool      // else only the barrier is looked for
	more    chan<- struct{}
	worker  *virtio.Worker

	// Of the worker.
	spill [maxPacket + 1]byte
	chunk []byte // where packets are copied to, while there is room
	into  vector // spill
	poll  []unix.PollFd
	gone  bool // the tap was removed
	own   bool // a frame in the guest's name has come

	mu        sync.Mutex // guards what follows
	frames    []Frame
	room      budget
	dropped   uint64
	barrier   bool
	committed bool
}

// chunkSize is how much memory is taken at once for packets, in bytes.
const chunkSize = 256 << 10

// newCapture makes one at rest.
func newCapture(sockets []*socket, mac [6]byte, keep bool, more chan<- struct{}) *Capture {
	c := &Capture{sockets: sockets, mac: mac, keep: keep, more: more}
	c.into = vector(nil).add(c.spill[:])
	c.poll = append(c.poll, unix.PollFd{Fd: int32(sockets[0].woken.FD()), Events: unix.POLLIN})
	for _, s := range sockets {
		c.poll = append(c.poll, unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN})
	}
	if more != nil {
		c.worker = virtio.NewFirst(c, c.step) // what it reads is to be at the target before that lets its own through
	} else {
		c.worker = virtio.NewWorker(c, c.step)
	}
	return c
}

// Wait implements virtio.Waiter. A tap that is gone would never let it wait.
func (c *Capture) Wait() {
	all := c.poll
	if c.gone {
		all = all[:1]
	}
	if _, err := unix.Poll(all, -1); err != nil {
		c.gone = !errors.Is(err, unix.EINTR)
		return
	}
	if all[0].Revents != 0 {
		c.sockets[0].woken.Wait() // it has come
	}
}

// Wake implements virtio.Waiter, by the event of a pair whose worker is at rest.
func (c *Capture) Wake() { c.sockets[0].wake() }

// step reads what there is.
func (c *Capture) step() (more bool) {
	for q := range c.sockets {
		read, barrier := c.read(q, batchPackets)
		if barrier {
			c.pass(q)
		}
		more = more || read
	}
	return more && !c.gone
}

// pass notes the barrier that one queue had: what came to the others before is read first.
func (c *Capture) pass(queue int) {
	for q := range c.sockets {
		if q != queue {
			c.read(q, maxDiscard)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.barrier = true
	c.tell()
}

// read takes at most so many packets from a queue, and tells whether there may be more, and
// whether it stopped at the barrier.
func (c *Capture) read(queue, most int) (more, barrier bool) {
	for range most {
		n, err := c.into.readv(c.sockets[queue].fd)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return false, false
		case errors.Is(err, unix.EINVAL): // a packet that the header cannot describe
			continue
		case err != nil, n < headerSize:
			c.gone = true
			return false, false
		case n < headerSize+ethernetSize || n > maxPacket:
			continue
		}
		if c.take(queue, c.spill[:n]) && !c.own {
			c.own = true
			return true, true
		}
	}
	return true, false
}

// take keeps a packet, unless it is in the guest's own name: then whoever runs the guest sent it, which
// nobody does before the commit. So a frame of its own that a network sends back late is not taken for the barrier.
// What comes behind the barrier is forwarded if it is for the guest alone: a network whose parts work side by side lets
// single frames be overtaken, and sends them to one host only.
func (c *Capture) take(queue int, packet []byte) (own bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.committed && [6]byte(packet[headerSize+6:]) == c.mac {
		return true
	}
	forward := c.forwards(packet)
	if !c.keep || c.barrier && !forward {
		return false
	}
	if !c.room.take(len(packet)) {
		if forward {
			c.dropped++
		}
		return false
	}
	c.frames = append(c.frames, Frame{Queue: queue, Packet: c.copy(packet), Forward: forward})
	c.tell()
	return false
}

// copy returns a copy of a packet.
func (c *Capture) copy(packet []byte) []byte {
	if cap(c.chunk)-len(c.chunk) < len(packet) {
		c.chunk = make([]byte, 0, chunkSize)
	}
	at := len(c.chunk)
	c.chunk = append(c.chunk, packet...)
	return c.chunk[at:len(c.chunk):len(c.chunk)]
}

// adopt keeps a packet that was there before anything is read.
func (c *Capture) adopt(queue int, packet []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.room.take(len(packet)) { // always: it comes from within the same bounds
		c.frames = append(c.frames, Frame{Queue: queue, Packet: packet, Forward: c.forwards(packet)})
	}
}

// forwards tells whether another host does not get a packet by itself. Precondition: mu is held.
func (c *Capture) forwards(packet []byte) bool {
	to := packet[headerSize:]
	return [6]byte(to) == c.mac || to[0]&1 != 0 && !c.committed
}

// Commit says that from here on another host may run the guest: that gets itself what is for many.
func (c *Capture) Commit() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.committed = true
}

// tell wakes who waits for more.
func (c *Capture) tell() {
	select {
	case c.more <- struct{}{}:
	default: // it is to look already
	}
}

// Since is what was captured from the n-th frame on.
func (c *Capture) Since(n int) Captured {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Captured{Frames: c.frames[min(n, len(c.frames)):], Dropped: c.dropped, Barrier: c.barrier}
}

// End ends it, and gives up all frames: the guest runs at another host. It may be called again.
func (c *Capture) End() {
	c.worker.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frames, c.chunk = nil, nil
}
