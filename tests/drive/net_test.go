package drive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
)

// hosts makes a lab, and skips where the user may not (in CI, fails).
func hosts(t *testing.T, n int) []*lab.Host {
	t.Helper()
	l, err := lab.New(n)
	if errors.Is(err, lab.ErrNeedsRoot) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l.Hosts
}

// serve has a host treat one connection to its echo port as serve says.
func serve(t *testing.T, h *lab.Host, serve func(*net.TCPConn)) {
	t.Helper()
	l, err := h.Listen(":7")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-ended })
	go func() {
		defer close(ended)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		serve(conn.(*net.TCPConn))
	}()
}

// some is what a server gives back before it fails.
const some = 5000

// giveBack gives some back.
func giveBack(c *net.TCPConn) {
	b := make([]byte, some)
	if _, err := io.ReadFull(c, b); err == nil {
		c.Write(b)
	}
}

func TestStream(t *testing.T) {
	for _, tt := range []struct {
		name  string
		serve func(*net.TCPConn)
		want  string // in the error; empty: none
	}{
		{"whole", func(c *net.TCPConn) { io.Copy(c, c) }, ""},
		{"reset", func(c *net.TCPConn) {
			giveBack(c)
			c.SetLinger(0)
		}, "reset"},
		{"ended", func(c *net.TCPConn) {
			giveBack(c)
			c.CloseWrite()
			io.Copy(io.Discard, c)
		}, "EOF"},
		{"wrong", func(c *net.TCPConn) {
			giveBack(c)
			c.Write([]byte("wrong"))
			io.Copy(io.Discard, c)
		}, fmt.Sprintf("byte %d ", some)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := hosts(t, 2)
			serve(t, h[1], tt.serve)
			s, err := StartStream(h[0], h[1].Addr, time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			for range 20 {
				if err = s.Await(ctx); err != nil {
					break
				}
			}
			r, stopped := s.Stop()
			if err = errors.Join(err, stopped); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %+v, %v; want %q", r, err, tt.want)
			}
			if tt.want == "" && r.Bytes < 20*streamPiece {
				t.Errorf("got %d bytes; want at least %d", r.Bytes, 20*streamPiece)
			}
		})
	}
}

func TestClients(t *testing.T) {
	h := hosts(t, 2)
	c, err := StartClients(t.Context(), h[0], lab.PingConfig{To: h[1].Addr, Over: lab.ICMP}, lab.PingConfig{To: h[1].Addr, Over: lab.ICMP})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c[0].Await(t.Context()), c[1].Await(t.Context()), c.Settle(t.Context())); err != nil {
		t.Fatal(err)
	}
	if r := c.Stop(); r.Bad() || r.Sent < 2 {
		t.Errorf("got %v; want both answered", r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if c, err := StartClients(ctx, h[0], lab.PingConfig{To: h[1].Addr, Over: lab.UDP}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, %v of one that nobody answers; want that time is up", c, err)
	}
}

// TestNetWorldLeftovers wants a tap that was left to be found.
func TestNetWorldLeftovers(t *testing.T) {
	hosts(t, 1) // or skip
	n, err := NewNetWorld("vmm")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}()
	if left, err := n.Leftovers(); err != nil || len(left) > 0 {
		t.Errorf("got %q, %v; want nothing", left, err)
	}
	if err := n.Sites[1].Host.Tap("left"); err != nil {
		t.Fatal(err)
	}
	left, err := n.Leftovers()
	if err != nil || !slices.ContainsFunc(left, func(l string) bool { return strings.HasPrefix(l, "host 1: link left ") }) {
		t.Errorf("got %q, %v; want the tap", left, err)
	}
}

// TestNetSummary: one packet is too many.
func TestNetSummary(t *testing.T) {
	var s NetSummary
	if err := s.Failure(); err != nil {
		t.Errorf("got %v of nothing; want none", err)
	}
	s.moved(Moved{Move: Move{DowntimeMS: 4}}, 5*time.Millisecond)
	s.moved(Moved{Move: Move{DowntimeMS: 4}}, 9*time.Millisecond)
	if s.MedianSilenceMS != 9 || s.MedianBeyondMS != 5 {
		t.Errorf("got %+v; want the upper medians", s)
	}
	for _, r := range []lab.PingReport{{Lost: 1}, {Duplicated: 1}, {Reordered: 1}, {Wrong: 1}} {
		if s.count(r); s.Failure() == nil {
			t.Errorf("%v: got no error; want one", r)
		}
	}
	s.FramesLate = 2
	for reordered, bad := range map[uint64]bool{2: false, 3: true} {
		if s.count(lab.PingReport{Reordered: reordered}); (s.Failure() != nil) != bad {
			t.Errorf("%d out of order, 2 late: got %v; want a failure: %v", reordered, s.Failure(), bad)
		}
	}
}
