package ipc

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// listening makes a socket of Listen that is closed with the test.
func listening(t *testing.T) (*os.File, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.ipc")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, path
}

func TestListenAndDial(t *testing.T) {
	l, path := listening(t)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: got %v, %v; want mode 0600", info.Mode(), err)
	}
	f, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	a := New(f, none)
	defer a.Close()
	f, err = Accept(l, uint32(os.Geteuid()))
	if err != nil {
		t.Fatal(err)
	}
	b := New(f, func(context.Context, *Request) (Reply, error) { return Reply{Body: 7}, nil })
	defer b.Close()
	var got int
	if _, err := a.Call(t.Context(), "seven", nil, &got); err != nil || got != 7 {
		t.Errorf("got %d, %v; want 7", got, err)
	}
	again, err := Listen(path) // of a machine that died
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if _, err := Dial(path); err == nil {
		t.Error("nobody listens: got no error")
	}
}

// TestAcceptTurnsOthersAway: who is not one of the users hears nothing.
func TestAcceptTurnsOthersAway(t *testing.T) {
	l, path := listening(t)
	f, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	c := New(f, none)
	defer c.Close()
	ended := make(chan error)
	go func() {
		_, err := Accept(l, uint32(os.Geteuid())+1)
		ended <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := c.Call(ctx, "hello", nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v; want %v", err, ErrClosed)
	}
	l.Close()
	if err := <-ended; !errors.Is(err, os.ErrClosed) {
		t.Errorf("the socket was closed: got %v; want %v", err, os.ErrClosed)
	}
}
