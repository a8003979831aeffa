package migration

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// TestPeerThatTakesNothing: what is said to a peer that stalls comes to an end, whatever the peer says itself.
func TestPeerThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		defer theirs.Close()
		l := newLink(ours)
		for _, silence := range []time.Duration{pushSilence, switchSilence} {
			l.setSilence(silence)
			began := time.Now()
			err := l.out.frame(header{Type: frameCommit}, []byte("x"))
			if got := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || got != silence {
				t.Errorf("got %v after %v; want the end of patience after %v", err, got, silence)
			}
		}
		if err := linkError(os.ErrDeadlineExceeded); !errors.Is(err, ErrLinkLost) {
			t.Errorf("got %v; want it to be a lost link", err)
		}
	})
}

// TestPeerThatTakesSlowly: a large state over a slow link takes its time.
func TestPeerThatTakesSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		l := newLink(ours)
		l.setSilence(switchSilence)
		state := bytes.Repeat([]byte("state"), 1<<18)
		got := make(chan []byte)
		go func() {
			var all bytes.Buffer
			b := make([]byte, writePiece/2)
			for {
				n, err := io.ReadFull(theirs, b)
				all.Write(b[:n])
				if err != nil {
					break
				}
				time.Sleep(switchSilence / 4)
			}
			got <- all.Bytes()
		}()
		if err := l.out.frame(header{Type: frameState}, state); err != nil {
			t.Error(err)
		}
		ours.Close()
		if all := <-got; len(all) != headerSize+len(state) || !bytes.Equal(all[headerSize:], state) {
			t.Errorf("got %d bytes; want the %d of the state", len(all), len(state))
		}
	})
}
