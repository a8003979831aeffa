package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of a Capture.
const (
	snapLength = 256     // bytes kept of a frame
	maxFrames  = 1 << 16 // kept; the others are counted
)

// Frame is an Ethernet frame that passed a link.
type Frame struct {
	At   time.Duration // as Now says it, by the kernel's stamp
	Sent bool          // by this end of the link
	Data []byte        // its first 256 bytes
}

// Capture is what passes a link of a host (packet(7)). Its methods may be
// called from several goroutines.
type Capture struct {
	file  *os.File
	keep  func([]byte) bool
	group sync.WaitGroup

	mu      sync.Mutex // guards what follows
	frames  []Frame
	missed  uint64        // wanted frames that were not kept
	arrived chan struct{} // closed when a frame is kept; nil: nobody waits
}

// Capture keeps the frames that pass a link of the host and that keep wants; nil
// wants all. Where a move passes the same link, not every frame may be seen.
func (h *Host) Capture(link string, keep func(frame []byte) bool) (*Capture, error) {
	c := &Capture{keep: keep}
	if err := h.Do(func() error { return c.open(link) }); err != nil {
		return nil, fmt.Errorf("lab: capture what passes %s: %w", link, err)
	}
	c.group.Go(c.read)
	return c, nil
}

// open opens the socket. It runs in the host's namespace.
func (c *Capture) open(link string) error {
	on, err := net.InterfaceByName(link)
	if err != nil {
		return err
	}
	// Without a protocol it hears nothing before it is bound.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	c.file = os.NewFile(uintptr(fd), "capture of "+link)
	raw, err := c.file.SyscallConn()
	if err == nil {
		all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
		err = errors.Join(stamped(raw), patient(raw),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: on.Index}))
	}
	if err != nil {
		c.file.Close()
	}
	return err
}

// read takes frames until the socket is closed.
func (c *Capture) read() {
	raw, err := c.file.SyscallConn()
	if err != nil {
		return // it is closed
	}
	b, oob := make([]byte, snapLength), make([]byte, 128)
	for {
		var n, oobn int
		var from unix.Sockaddr
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			n, oobn, _, from, failed = unix.Recvmsg(int(fd), b, oob, 0)
			return !errors.Is(failed, unix.EAGAIN)
		})
		if err != nil {
			return
		}
		if failed != nil || c.keep != nil && !c.keep(b[:n]) {
			continue // the link went down, and may come up again
		}
		link, _ := from.(*unix.SockaddrLinklayer)
		c.add(Frame{At: arrival(oob[:oobn]), Sent: link != nil && link.Pkttype == unix.PACKET_OUTGOING, Data: append([]byte(nil), b[:n]...)})
	}
}

func (c *Capture) add(f Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.frames) == maxFrames {
		c.missed++
		return
	}
	c.frames = append(c.frames, f)
	if c.arrived != nil {
		close(c.arrived)
		c.arrived = nil
	}
}

// Frames returns what was kept, and how many frames more there were than are
// kept.
func (c *Capture) Frames() (frames []Frame, missed uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Frame(nil), c.frames...), c.missed
}

// Wait returns the first frame, of those kept and those to come, that match
// accepts.
func (c *Capture) Wait(ctx context.Context, match func(Frame) bool) (Frame, error) {
	for seen := 0; ; {
		c.mu.Lock()
		for ; seen < len(c.frames); seen++ {
			if match(c.frames[seen]) {
				defer c.mu.Unlock()
				return c.frames[seen], nil
			}
		}
		if c.arrived == nil {
			c.arrived = make(chan struct{})
		}
		arrived := c.arrived
		c.mu.Unlock()
		select {
		case <-arrived:
		case <-ctx.Done():
			return Frame{}, fmt.Errorf("lab: wait for a frame: %w", context.Cause(ctx))
		}
	}
}

// Close ends it; what was kept stays.
func (c *Capture) Close() error {
	err := c.file.Close()
	c.group.Wait()
	return err
}
