package direct

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ferryvmm/ferry/internal/tcptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func pair(t *testing.T) (net.Conn, *Conn) {
	t.Helper()
	a, b := tcptest.Pair(t)
	d, err := New(b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return a, d
}

func TestConn(t *testing.T) {
	a, d := pair(t)
	want := bytes.Repeat([]byte("ferry"), 100_000)
	go func() {
		a.Write(want)
		a.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(d)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, %v; want %d", len(got), err, len(want))
	}
	go func() {
		d.WriteBuffers(net.Buffers{want[:3], nil, want[3:1000], want[1000:]})
		d.Write(want)
		d.Close()
	}()
	if got, err = io.ReadAll(a); err != nil || !bytes.Equal(got, append(want, want...)) {
		t.Errorf("got %d bytes, %v; want %d", len(got), err, 2*len(want))
	}
	if _, err := d.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v; want it closed", err)
	}
}

// TestCloseEndsARead, and so does a deadline that is over.
func TestCloseEndsARead(t *testing.T) {
	for _, end := range []func(*Conn) error{(*Conn).Close, func(c *Conn) error { return c.SetDeadline(time.Unix(1, 0)) }} {
		_, d := pair(t)
		ended := make(chan error)
		go func() {
			Thread()
			_, err := d.Read(make([]byte, 1))
			ended <- err
		}()
		if err := end(d); err != nil {
			t.Error(err)
		}
		if err := <-ended; err == nil {
			t.Error("got a byte; want an error")
		}
	}
}

func TestNoDescriptor(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if _, err := New(a); err == nil {
		t.Error("got a connection; want an error")
	}
}
