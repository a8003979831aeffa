package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// pair returns two connected sockets of a kind.
func pair(t *testing.T, kind int) (ours, theirs int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fds[0], fds[1]
}

func TestStreamComesBack(t *testing.T) {
	ours, theirs := pair(t, unix.SOCK_STREAM)
	ended := make(chan struct{})
	go func() {
		echoStream(theirs)
		unix.Close(theirs)
		close(ended)
	}()
	want := make([]byte, 1<<20) // more than buffers hold
	if _, err := rand.Read(want); err != nil {
		t.Fatal(err)
	}
	stream := os.NewFile(uintptr(ours), "stream") // for both ways: a file forgotten is closed
	defer stream.Close()
	wrote := make(chan error, 1)
	go func() {
		_, err := stream.Write(want)
		wrote <- errors.Join(err, unix.Shutdown(ours, unix.SHUT_WR))
	}()
	got, err := io.ReadAll(stream)
	if err := errors.Join(err, <-wrote); err != nil {
		t.Error(err)
	}
	<-ended
	if !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, other than the %d sent", len(got), len(want))
	}
}
