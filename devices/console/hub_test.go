package console

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds a wait that ends at once when all is well.
const patience = 10 * time.Second

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// connection is a pair of sockets: one for the hub, one for the person.
func connection(t *testing.T) (hub *os.File, person *net.UnixConn) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: t.TempDir() + "/s"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.DialUnix("unix", nil, l.Addr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f, err := s.File()
	if err != nil {
		t.Fatal(err)
	}
	return f, c
}

func puts(h *Hub, s string) {
	for i := range len(s) {
		h.Put(s[i])
	}
}

// expect reads want from r, and fails the test when it does not come.
func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	if d, ok := r.(interface{ SetReadDeadline(time.Time) error }); ok {
		d.SetReadDeadline(time.Now().Add(patience))
	}
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v; want %q", got[:n], err, want)
	}
}

// device is an input of a few bytes' room.
type device struct {
	mu   sync.Mutex // guards got and room
	got  []byte
	room int
	more *sync.Cond
}

func newDevice(room int) *device {
	d := &device{room: room}
	d.more = sync.NewCond(&d.mu)
	return d
}

func (d *device) Feed(p []byte) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := min(len(p), d.room)
	d.got = append(d.got, p[:n]...)
	d.room -= n
	d.more.Broadcast()
	return n
}

// read is the guest reading n bytes once they are there.
func (d *device) read(t *testing.T, h *Hub, n int) string {
	t.Helper()
	timer := time.AfterFunc(patience, func() { d.mu.Lock(); d.room = -1 << 40; d.more.Broadcast(); d.mu.Unlock() })
	defer timer.Stop()
	d.mu.Lock()
	for len(d.got) < n && d.room > -1<<30 {
		d.more.Wait()
	}
	if len(d.got) < n {
		d.mu.Unlock()
		t.Fatalf("the guest got %q; want %d bytes", d.got, n)
	}
	s := string(d.got[:n])
	d.got = append([]byte(nil), d.got[n:]...)
	d.room += n
	d.mu.Unlock()
	h.Room()
	return s
}

func closeHub(t *testing.T, h *Hub) {
	t.Helper()
	if err := h.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := h.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestOutput(t *testing.T) {
	r, w := pipe(t)
	h := New(w, nil)
	// Every byte comes without waiting for a next one.
	for _, s := range []string{"a", "b", "login: "} {
		puts(h, s)
		expect(t, r, s)
	}
	puts(h, "the last words")
	closeHub(t, h)
	got, err := io.ReadAll(r)
	if err != nil || string(got) != "the last words" {
		t.Errorf("at the end: got %q, %v; want the last words", got, err)
	}
	puts(h, "after Close")
}

// What is written at once is like what is put byte by byte, and never blocks.
func TestWrite(t *testing.T) {
	r, w := pipe(t)
	h := New(w, nil)
	for _, s := range []string{"one line\n", "two\nlines\n", "login: ", ""} {
		if n, err := h.Write([]byte(s)); n != len(s) || err != nil {
			t.Errorf("Write: got %d, %v; want %d", n, err, len(s))
		}
		expect(t, r, s)
	}
	const total = ringSize + 5000 // at once, without a reader
	if _, err := h.Write(bytes.Repeat([]byte{'x'}, total)); err != nil {
		t.Error(err)
	}
	if got := h.Dropped(); got != total-ringSize {
		t.Errorf("dropped: got %d; want %d", got, total-ringSize)
	}
	r.Close()
	closeHub(t, h)
}

func TestNothing(t *testing.T) {
	h := New(nil, nil)
	puts(h, "into the void")
	h.Room()
	if !h.Drain(0) {
		t.Error("Drain of nothing: got false")
	}
	closeHub(t, h)
}

func TestInput(t *testing.T) {
	r, w := pipe(t)
	h := New(nil, r)
	if _, err := w.WriteString("typed before there is a device"); err != nil {
		t.Fatal(err)
	}
	d := newDevice(4)
	h.SetInput(d)
	var got string
	for _, n := range []int{4, 1, 3, 4, 2, 4, 4, 4, 4} {
		got += d.read(t, h, n)
	}
	if got != "typed before there is a device" {
		t.Errorf("input: got %q", got)
	}
	h.SetInput(nil)
	d2 := newDevice(100)
	if _, err := w.WriteString("for the next"); err != nil {
		t.Fatal(err)
	}
	h.SetInput(d2)
	if got := d2.read(t, h, 12); got != "for the next" {
		t.Errorf("input of the second device: got %q", got)
	}
	if len(d.got) != 0 {
		t.Errorf("the first device got %q after SetInput(nil)", d.got)
	}
	closeHub(t, h)
}

// More than all rings hold is typed: it waits, and nothing is lost.
func TestInputBackpressure(t *testing.T) {
	r, w := pipe(t)
	h := New(nil, r)
	d := newDevice(16)
	h.SetInput(d)
	want := make([]byte, 5*typedSize)
	for i := range want {
		want[i] = byte(i * 7 >> 3)
	}
	written := make(chan error, 1)
	go func() {
		_, err := w.Write(want)
		written <- err
	}()
	var got []byte
	for len(got) < len(want) {
		got = append(got, d.read(t, h, min(16, len(want)-len(got)))...)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("input was changed on the way")
	}
	closeHub(t, h)
}

func TestAttach(t *testing.T) {
	r, w := pipe(t)
	h := New(w, nil)
	d := newDevice(100)
	h.SetInput(d)
	puts(h, "early ")
	f1, p1 := connection(t)
	h.Attach(f1)
	f2, p2 := connection(t)
	h.Attach(f2)
	puts(h, "late")
	expect(t, p1, "late")
	expect(t, p2, "late")
	expect(t, r, "early late")
	for _, c := range []struct {
		p *net.UnixConn
		s string
	}{{p1, "one"}, {p2, "two"}} {
		if _, err := c.p.Write([]byte(c.s)); err != nil {
			t.Fatal(err)
		}
		if got := d.read(t, h, 3); got != c.s {
			t.Errorf("typed: got %q; want %q", got, c.s)
		}
	}
	// One leaves; its descriptor goes, and the other stays.
	p1.Close()
	for closed := false; !closed; { // the poller tells at once
		_, err := f1.Stat()
		closed = errors.Is(err, os.ErrClosed)
		puts(h, ".")
	}
	puts(h, "bye")
	h.mu.Lock()
	sinks, files := len(h.sinks), len(h.files)
	h.mu.Unlock()
	if sinks != 2 || files != 2 {
		t.Errorf("after one left: got %d sinks, %d files; want 2, 2", sinks, files)
	}
	closeHub(t, h)
	p2.SetReadDeadline(time.Now().Add(patience))
	got, err := io.ReadAll(p2)
	if err != nil || !bytes.HasSuffix(got, []byte("bye")) {
		t.Errorf("the one that stayed: got …%q, %v; want …bye and the end", got, err)
	}
	f3, p3 := connection(t)
	h.Attach(f3)
	p3.SetReadDeadline(time.Now().Add(patience))
	if n, err := p3.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("attached after Close: got %d, %v; want the end", n, err)
	}
}

// A reader that does not read loses the oldest bytes, and nothing waits for it.
func TestSlowSink(t *testing.T) {
	r, w := pipe(t)
	h := New(w, nil)
	const total = 4 * ringSize
	for i := range total {
		h.Put(byte(i >> 12)) // the guest does not stop
	}
	dropped := h.Dropped()
	if dropped < total-ringSize-256<<10 || dropped > total-ringSize {
		t.Errorf("dropped: got %d of %d bytes; want all but the ring and the pipe", dropped, total)
	}
	if h.Drain(time.Millisecond) {
		t.Error("Drain with a reader that does not read: got true")
	}
	read := make(chan []byte)
	go func() {
		got, err := io.ReadAll(r)
		if err != nil {
			t.Error(err)
		}
		read <- got
	}()
	if !h.Drain(patience) {
		t.Error("Drain with a reader that reads: got false")
	}
	closeHub(t, h)
	got := <-read
	if uint64(len(got))+dropped != total {
		t.Errorf("read %d, dropped %d of %d bytes; want the sum", len(got), dropped, total)
	}
	newest := got[len(got)-ringSize:]
	for i, b := range newest {
		if want := byte((total - ringSize + i) >> 12); b != want {
			t.Fatalf("byte %d of the newest: got %#x; want %#x", i, b, want)
		}
	}
	if h.Dropped() != dropped {
		t.Errorf("dropped after Close: got %d; want %d", h.Dropped(), dropped)
	}
}

// A sink that never reads does not hold up Close for ever.
func TestCloseGivesUp(t *testing.T) {
	_, w := pipe(t)
	h := New(w, nil)
	for range 2 * ringSize {
		h.Put('x')
	}
	began := time.Now()
	closeHub(t, h)
	if d := time.Since(began); d < flushWithin || d > flushWithin+patience {
		t.Errorf("Close took %v; want about %v", d, flushWithin)
	}
}

// The reader of the console is gone: the guest runs on.
func TestBrokenSink(t *testing.T) {
	r, w := pipe(t)
	h := New(w, nil)
	r.Close()
	h.Put('x')
	if !h.Drain(patience) {
		t.Error("Drain of a broken pipe: got false")
	}
	puts(h, "more")
	h.mu.Lock()
	sinks, files := len(h.sinks), len(h.files)
	h.mu.Unlock()
	if sinks != 0 || files != 0 {
		t.Errorf("after the reader left: got %d sinks, %d files; want none", sinks, files)
	}
	closeHub(t, h)
}

func TestPutAllocatesNothing(t *testing.T) {
	r, w := pipe(t)
	h := New(w, nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			if _, err := r.Read(buf); err != nil {
				return
			}
		}
	}()
	if n := testing.AllocsPerRun(10000, func() { h.Put('x') }); n != 0 {
		t.Errorf("got %v allocations a byte; want 0", n)
	}
	closeHub(t, h)
	<-done
}

// BenchmarkLatency is from Put on one thread to the byte's arrival at the reader.
func BenchmarkLatency(b *testing.B) {
	r, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	h := New(w, nil)
	p := make([]byte, 1)
	for b.Loop() {
		h.Put('x')
		if _, err := r.Read(p); err != nil {
			b.Fatal(err)
		}
	}
	h.Close()
}

// TestLineLeavesAtOnce shows that a line does not wait for the goroutine that its beginning was left to.
func TestLineLeavesAtOnce(t *testing.T) {
	r, w := pipe(t)
	h := New(w, nil)
	h.mu.Lock()
	s := h.sinks[0]
	s.put([]byte("HB 0 1")...)
	s.wake() // it lingered for too long
	s.put([]byte(" 500000\n")...)
	gone := s.idle
	h.mu.Unlock()
	if !gone {
		t.Error("a line that has ended is still here")
	}
	expect(t, r, "HB 0 1 500000\n")
	closeHub(t, h)
}
