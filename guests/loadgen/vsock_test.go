package loadgen_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// dialGuest connects to a port of the guest, through the socket of its vsock.
func dialGuest(t *testing.T, path string, port int) *net.UnixConn {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "CONNECT %d\n", port)
	return conn.(*net.UnixConn)
}

func TestStreamsEcho(t *testing.T) {
	t.Parallel()
	const streams, size = 3, 500_000 // many times what each end has room for
	path := filepath.Join(shortDir(t), "vsock")
	r := bootFerry(t, guest{vsock: path, cmdline: "heartbeat=10000 verify=16 vsock=7"})
	r.await(t, "READY")
	done := make(chan error, 2*streams)
	for i := range streams {
		conn := dialGuest(t, path, 7)
		want := noise(size + i)
		go func() {
			_, err := conn.Write(want)
			done <- err
			conn.CloseWrite() // the rest still comes back
		}()
		go func() {
			in := bufio.NewReader(conn)
			line, err := in.ReadString('\n')
			got, rest := io.ReadAll(in)
			if err != nil || rest != nil || !bytes.Equal(got, want) {
				err = fmt.Errorf("got %q and %d bytes, others than the %d sent: %v, %v", line, len(got), len(want), err, rest)
			}
			done <- err
		}()
	}
	for range 2 * streams {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	s, lines := r.until(t, "all streams ended", func(s stat) bool { return s["vsock_open"] == 0 })
	checkNothingWrong(t, s, lines)
	if got, least := s["vsock"], float64(streams*size); got < least {
		t.Errorf("got vsock=%v; want at least %v bytes", got, least)
	}
	if n, err := dialGuest(t, path, 8).Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a port where nobody listens: got %d bytes, %v; want the end", n, err)
	}
}

// The guest connects, again after it was refused or cut off, and checks every byte.
func TestStreamsDial(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "vsock")
	listener, err := net.Listen("unix", path+"_5000")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	listener.(*net.UnixListener).SetDeadline(time.Now().Add(patience))
	r := bootFerry(t, guest{vsock: path, cmdline: "heartbeat=10000 verify=16 vsockdial=5000"})
	for range 2 {
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(patience))
		if n, err := io.CopyN(conn, conn, 300_000); err != nil {
			t.Fatalf("echoed %d bytes: %v", n, err)
		}
		conn.Close()
	}
	s, lines := r.until(t, "what came back checked", func(s stat) bool { return s["vsockdial"] >= 300_000 })
	checkNothingWrong(t, s, lines)

	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	b := make([]byte, 1000)
	if _, err := io.ReadFull(conn, b); err != nil {
		t.Fatal(err)
	}
	b[500] ^= 1
	conn.Write(b)
	line, _ := r.await(t, "CORRUPT")
	if want := fmt.Sprintf("CORRUPT page=vsock500 expected=0x%x got=0x%x", b[500]^1, b[500]); line != want {
		t.Errorf("got %q; want %q", line, want)
	}
}
