package vsock_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
	"github.com/ferryvmm/ferry/devices/virtio/vsock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what should come at once.
const patience = 20 * time.Second

// From the specification.
const (
	request = iota + 1
	response
	reset
	shutdown
	data
	creditUpdate
	creditRequest

	noReceive = 1
	noSend    = 2

	headerSize = 44
	guestCID   = 7
	window     = 64 << 10 // the device's room for what a connection sends
)

// packet is what goes over the queues, as seen by the guest.
type packet struct {
	Op               int
	Src, Dst         uint32 // ports
	Flags            uint32
	Alloc, Forwarded uint32
	Data             string
}

func (p packet) encode() []byte {
	b := make([]byte, headerSize, headerSize+len(p.Data))
	le := binary.LittleEndian
	le.PutUint64(b, guestCID)
	le.PutUint64(b[8:], 2)
	le.PutUint32(b[16:], p.Src)
	le.PutUint32(b[20:], p.Dst)
	le.PutUint32(b[24:], uint32(len(p.Data)))
	le.PutUint16(b[28:], 1)
	le.PutUint16(b[30:], uint16(p.Op))
	le.PutUint32(b[32:], p.Flags)
	le.PutUint32(b[36:], p.Alloc)
	le.PutUint32(b[40:], p.Forwarded)
	return append(b, p.Data...)
}

// decode takes a packet of the device to the guest.
func decode(t testing.TB, b []byte) packet {
	t.Helper()
	le := binary.LittleEndian
	if len(b) < headerSize {
		t.Fatalf("a packet of %d bytes", len(b))
	}
	if src, dst := le.Uint64(b), le.Uint64(b[8:]); src != 2 || dst != guestCID {
		t.Errorf("context ids: got %d to %d; want 2 to %d", src, dst, guestCID)
	}
	if n := le.Uint32(b[24:]); int(n) != len(b)-headerSize {
		t.Errorf("length: got %d; want %d", n, len(b)-headerSize)
	}
	if kind := le.Uint16(b[28:]); kind != 1 {
		t.Errorf("type: got %d; want 1", kind)
	}
	return packet{
		Op: int(le.Uint16(b[30:])), Src: le.Uint32(b[16:]), Dst: le.Uint32(b[20:]), Flags: le.Uint32(b[32:]),
		Alloc: le.Uint32(b[36:]), Forwarded: le.Uint32(b[40:]), Data: string(b[headerSize:]),
	}
}

// guest is a driver that speaks in packets.
type guest struct {
	*virtiotest.Driver
	t      testing.TB
	buffer int // bytes of a buffer to receive in
}

const (
	receiveQueue = iota
	transmitQueue
	eventQueue
)

// boot starts a device.
func boot(t testing.TB, dev *vsock.Device, o virtiotest.Options) *guest {
	t.Helper()
	g := &guest{Driver: virtiotest.Run(t, dev, virtiotest.NewMemory(t, 16<<20), o), t: t, buffer: 4096}
	g.refill()
	return g
}

// refill gives the device all buffers that there are.
func (g *guest) refill() {
	q := g.Queue(receiveQueue)
	for q.Free() >= 2 {
		q.Add(nil, headerSize, g.buffer-headerSize)
	}
	q.Kick()
}

// send sends a packet, and waits until the device has taken it.
func (g *guest) send(p packet) {
	g.t.Helper()
	if p.Op != reset && p.Alloc == 0 {
		p.Alloc = 1 << 20
	}
	b := p.encode()
	g.Queue(transmitQueue).Do([][]byte{b[:20], b[20:]})
}

// receive is the next packet of the device.
func (g *guest) receive() packet {
	g.t.Helper()
	p := decode(g.t, g.Queue(receiveQueue).Next().Written)
	g.refill()
	return p
}

// want receives a packet and checks it; its credit only if want has some.
func (g *guest) want(want packet) packet {
	g.t.Helper()
	got := g.receive()
	cut := got
	if want.Alloc == 0 {
		cut.Alloc, cut.Forwarded = 0, 0
	}
	if diff := cmp.Diff(want, cut); diff != "" {
		g.t.Fatalf("packet to the guest (-want +got):\n%s", diff)
	}
	return got
}

// wantNothing checks that the device, once at rest, has sent nothing more.
func (g *guest) wantNothing() {
	g.t.Helper()
	g.Quiesce()
	if r := g.Queue(receiveQueue).Poll(); r != nil {
		g.t.Errorf("packet to the guest: got %+v; want none", decode(g.t, r.Written))
	}
	g.Resume()
}

// socketpair is a stream: the device's end and the host program's.
func socketpair(t testing.TB) (device, program *net.UnixConn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socket")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = c.(*net.UnixConn)
	}
	t.Cleanup(func() { ends[1].Close() })
	_ = ends[1].SetDeadline(time.Now().Add(patience))
	return ends[0], ends[1]
}

var errRefused = errors.New("connection refused")

// programs is a host whose programs listen on ports below 100.
type programs struct {
	t    testing.TB
	came chan *net.UnixConn // the programs' ends, in order
	room int                // bytes that a socket holds for a program; 0 is the usual
}

func newPrograms(t testing.TB) *programs {
	return &programs{t: t, came: make(chan *net.UnixConn, 1000)}
}

func (p *programs) Dial(_ context.Context, port uint32) (net.Conn, error) {
	if port >= 100 {
		return nil, errRefused
	}
	device, program := socketpair(p.t)
	if p.room > 0 {
		_ = device.SetWriteBuffer(p.room)
	}
	p.came <- program
	return device, nil
}

// stuck is a host that does not answer.
type stuck struct {
	mu    sync.Mutex // guards calls
	calls int
}

func (s *stuck) Dial(ctx context.Context, _ uint32) (net.Conn, error) {
	s.mu.Lock()
	s.calls++
	s.mu.Unlock()
	<-ctx.Done()
	return nil, ctx.Err()
}

func device(t testing.TB, h vsock.Host, saved *vsock.State) *vsock.Device {
	t.Helper()
	d, err := vsock.New(vsock.Config{CID: guestCID, Host: h}, saved)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// connect opens a connection of the guest's port 1000 to the host's port 52.
func (g *guest) connect(p *programs) *net.UnixConn {
	g.t.Helper()
	g.send(packet{Op: request, Src: 1000, Dst: 52})
	g.want(packet{Op: response, Src: 52, Dst: 1000, Alloc: window})
	return <-p.came
}

// expect reads want, and then the end if end is set.
func expect(t testing.TB, r io.Reader, want string, end bool) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("the host program: got %q, %v; want %q", got[:n], err, want)
	}
	if end {
		if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("the host program: got %d bytes, %v; want the end", n, err)
		}
	}
}

func write(t testing.TB, w io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatalf("the host program writes %q: %v", s, err)
	}
}

var _ virtio.Device = (*vsock.Device)(nil)
