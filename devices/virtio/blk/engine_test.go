package blk_test

import (
	"testing"
	"time"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/blk"
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
