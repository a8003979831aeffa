package blk_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/blk"
	"github.com/ferryvmm/ferry/internal/uring"
)

// TestWakeIsNotLost wants that a wake which comes while the worker reaps ends
// its next wait: it may be what tells the worker to rest.
func TestWakeIsNotLost(t *testing.T) {
	onEngines(t, func(t *testing.T, open blk.Opener) {
		c, _ := config(t, mib)
		defer c.File.Close()
		kick, err := virtio.NewKick()
		if err != nil {
			t.Fatal(err)
		}
		defer kick.Close()
		e, err := open(c.File, 4, kick)
		if err != nil {
			t.Fatal(err)
		}
		over := make(chan error)
		go func() {
			for range 3 {
				e.Wake()
				if _, err := e.Reap(nil); err != nil {
					over <- err
				}
				e.Wait()
			}
			over <- nil
		}()
		select {
		case err = <-over:
		case <-time.After(20 * time.Second):
			t.Fatal("the wait goes on; want its end")
		}
		if err != nil {
			t.Error(err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestDeafRing has the poll for kicks of a ring fail with an operation on its
// way: that still completes, and only then does the ring say that it is done for.
func TestDeafRing(t *testing.T) {
	if r, err := uring.New(1); errors.Is(err, uring.ErrUnavailable) && os.Getenv("CI") != "true" {
		t.Skip(err)
	} else if err == nil {
		_ = r.Close()
	}
	c, content := config(t, mib)
	defer c.File.Close()
	kick, err := virtio.NewKick()
	if err != nil {
		t.Fatal(err)
	}
	e, err := blk.Ring(c.File, 4, kick)
	if err != nil {
		t.Fatal(err)
	}
	if err := kick.Close(); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		p := make([]byte, 512)
		v := unix.Iovec{Base: &p[0]}
		v.SetLen(len(p))
		op := &blk.Op{Kind: blk.Read, Vec: []unix.Iovec{v}}
		e.Submit(op)
		done := make([]*blk.Op, 4)
		n, err := e.Reap(done)
		for n == 0 && err == nil {
			e.Wait()
			n, err = e.Reap(done)
		}
		if n != 1 || op.Result != 512 {
			t.Errorf("got %d operations, result %d, %v; want one of 512 bytes", n, op.Result, err)
		}
		want(t, "data", content[:512], p)
		if _, err := e.Reap(done); !errors.Is(err, unix.EBADF) {
			t.Errorf("afterwards: got %v; want EBADF", err)
		}
	}()
	select {
	case <-over:
	case <-time.After(20 * time.Second):
		t.Fatal("the wait goes on; want its end")
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}
