package lab

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newLab makes a lab, and skips where the user may not (in CI, fails).
func newLab(t *testing.T, hosts int) *Lab {
	t.Helper()
	l, err := New(hosts)
	if errors.Is(err, ErrNeedsRoot) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	return l
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// pair connects two hosts. The first connection of a new lab must not have to
// wait for anything.
func pair(t *testing.T, from, to *Host) (client, server net.Conn) {
	t.Helper()
	l, err := to.Listen(":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = from.Dial(within(t, 10*time.Second), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return client, server
}

func TestHostsTalk(t *testing.T) {
	l := newLab(t, 2)
	start := time.Now()
	c, s := pair(t, l.Hosts[0], l.Hosts[1])
	t.Logf("first connection after %v", time.Since(start))
	if got, want := c.LocalAddr().(*net.TCPAddr).IP.String(), "10.77.0.1"; got != want {
		t.Errorf("got source address %s; want %s", got, want)
	}
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	var got [5]byte
	if _, err := io.ReadFull(s, got[:]); err != nil || string(got[:]) != "hello" {
		t.Fatalf("got %q, %v; want hello", got, err)
	}
}

func TestHostsAreApart(t *testing.T) {
	l := newLab(t, 2)
	listener, err := l.Hosts[1].Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if c, err := l.Hosts[0].Dial(within(t, time.Second), listener.Addr().String()); err == nil {
		c.Close()
		t.Error("got a connection to another host's loopback; want it refused")
	}
	c, err := l.Hosts[1].Dial(within(t, time.Second), listener.Addr().String())
	if err != nil {
		t.Fatalf("dial the host's own loopback: %v", err)
	}
	c.Close()
}

func TestStartProcessesClose(t *testing.T) {
	l := newLab(t, 1)
	cmd := exec.Command("sleep", "1000")
	if err := l.Hosts[0].Start(cmd); err != nil {
		t.Fatal(err)
	}
	pids, err := l.Hosts[0].Processes()
	if err != nil || len(pids) != 1 || pids[0] != cmd.Process.Pid {
		t.Errorf("got processes %v, %v; want only %d", pids, err, cmd.Process.Pid)
	}
	if err := l.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) {
		t.Errorf("got %v; want it killed by Close", err)
	}
}

func TestThreadsComeHome(t *testing.T) {
	home, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t, 1)
	for range 50 {
		var inside string
		err := l.Hosts[0].Do(func() (err error) {
			inside, err = os.Readlink("/proc/thread-self/ns/net")
			return err
		})
		if err != nil || inside == home {
			t.Fatalf("got namespace %s inside, %v; want another than %s", inside, err, home)
		}
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, th := range threads {
		got, err := os.Readlink("/proc/self/task/" + th.Name() + "/ns/net")
		if err == nil && got != home {
			t.Errorf("thread %s stayed in %s; want %s", th.Name(), got, home)
		}
	}
}

func TestShape(t *testing.T) {
	l := newLab(t, 2)
	const limit = 100_000_000 // bits/s: slow enough to tell on any machine
	if err := l.Hosts[1].Shape(limit); err != nil {
		t.Fatal(err)
	}
	got := carried(t, l, 4<<20)
	if got > limit*11/10 {
		t.Errorf("got %.0f Mbit/s through a link of %d; want at most that", got/1e6, limit/1_000_000)
	}
	for range 2 { // twice: lifting no limit is no error
		if err := l.Hosts[1].Shape(0); err != nil {
			t.Fatal(err)
		}
	}
	if got := carried(t, l, 64<<20); got < limit*3/2 {
		t.Errorf("got %.0f Mbit/s after the limit was lifted; want far more than %d", got/1e6, limit/1_000_000)
	}
}

// carried returns the bits per second that one stream carries from host 0 to
// host 1, counted at the receiver.
func carried(t *testing.T, l *Lab, size int) float64 {
	t.Helper()
	c, s := pair(t, l.Hosts[0], l.Hosts[1])
	wrote := make(chan error, 1)
	go func() {
		_, err := c.Write(make([]byte, size))
		wrote <- err
	}()
	start := time.Now()
	if _, err := io.CopyN(io.Discard, s, int64(size)); err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	if sent, err := l.Hosts[0].Sent(); err != nil || sent < uint64(size) {
		t.Errorf("got %d bytes counted on the link, %v; want at least %d", sent, err, size)
	}
	return float64(size) * 8 / took.Seconds()
}

func TestCutAndRestore(t *testing.T) {
	l := newLab(t, 2)
	c, s := pair(t, l.Hosts[0], l.Hosts[1])
	if err := l.Hosts[0].Cut(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("late")); err != nil {
		t.Fatalf("write into a cut link: got %v; want it to be kept for later", err)
	}
	got := make([]byte, 4)
	if err := s.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Read(got); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %d bytes, %v through a cut link; want a time-out", n, err)
	}
	if err := l.Hosts[0].Restore(); err != nil {
		t.Fatal(err)
	}
	if err := s.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, []byte("late")) {
		t.Errorf("got %q, %v after the link was restored; want what was written meanwhile", got, err)
	}
}

func TestNewRefusesSizes(t *testing.T) {
	for _, hosts := range []int{-1, 0, MaxHosts + 1} {
		if l, err := New(hosts); err == nil {
			l.Close()
			t.Errorf("New(%d): got no error; want one", hosts)
		}
	}
}

func TestBridgedHostsTalk(t *testing.T) {
	l := newLab(t, 2)
	for _, h := range l.Hosts {
		if err := h.Bridge(); err != nil {
			t.Fatal(err)
		}
	}
	client, server := pair(t, l.Hosts[0], l.Hosts[1])
	client.Close()
	server.Close()
}
