package blk_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/blk"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

// gate is an engine whose image hangs until it is opened.
type gate struct {
	blk.Engine
	kick *virtio.Kick

	mu   sync.Mutex // guards what follows
	shut bool
	held []*blk.Op
	come chan struct{} // one for each operation that is held
}

// gated makes engines of threads behind a gate.
func gated(g *gate) blk.Opener {
	return func(f *os.File, depth int, kick *virtio.Kick) (blk.Engine, error) {
		inner, err := blk.Threads(f, depth, kick)
		g.Engine, g.kick = inner, kick
		return g, err
	}
}

func newGate() *gate { return &gate{shut: true, come: make(chan struct{}, blk.QueueSize)} }

func (g *gate) Submit(op *blk.Op) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		g.held = append(g.held, op)
		g.come <- struct{}{}
		return
	}
	g.Engine.Submit(op)
}

func (g *gate) Reap(done []*blk.Op) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.shut {
		for _, op := range g.held {
			g.Engine.Submit(op)
		}
		g.held = nil
	}
	return g.Engine.Reap(done)
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	g.shut = shut
	g.mu.Unlock()
	g.kick.Wake()
}

// quiesceBriefly wants that a device whose image hangs does not come to rest.
func (d *disk) quiesceBriefly() error {
	d.t.Helper()
	ctx, cancel := context.WithTimeoutCause(d.t.Context(), 10*time.Millisecond, errors.New("the downtime limit of 10 ms is over"))
	defer cancel()
	err := d.dev.Quiesce(ctx)
	if err == nil {
		d.t.Fatal("quiesce while the image hangs: got none; want an error")
	}
	return err
}

func TestQuiesceWaits(t *testing.T) {
	c, content := config(t, mib)
	g := newGate()
	c.Engine = gated(g)
	d := newDisk(t, c, virtiotest.Options{})
	first := d.q.Add([][]byte{header(tIn, 0)}, 512, 1)
	second := d.q.Send([][]byte{header(tIn, 1)}, 512, 1)
	<-g.come
	<-g.come
	err := d.quiesceBriefly()
	for _, part := range []string{"root", "2 requests", "downtime limit"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error: got %q; want %q in it", err, part)
		}
	}
	parked := d.q.Send([][]byte{header(tIn, 2)}, 512, 1)
	if err := d.quiesceBriefly(); !strings.Contains(err.Error(), "2 requests") {
		t.Errorf("with another one parked: got %q; want 2 requests", err)
	}
	// The stop is abandoned.
	d.dev.Resume()
	<-g.come
	g.set(false)
	for i, r := range []*virtiotest.Request{first, second, parked} {
		want(t, "after the image goes on", append(content[i*512:][:512:512], ok), d.q.Wait(r))
	}
	d.Quiesce()
}

// TestQuiesceInTime has the image go on while the guest is being stopped.
func TestQuiesceInTime(t *testing.T) {
	c, content := config(t, mib)
	g := newGate()
	c.Engine = gated(g)
	d := newDisk(t, c, virtiotest.Options{})
	r := d.q.Send([][]byte{header(tIn, 0)}, 512, 1)
	<-g.come
	time.AfterFunc(5*time.Millisecond, func() { g.set(false) })
	d.Quiesce()
	if got := d.q.Poll(); got != r {
		t.Fatal("at rest: a request that was submitted was not given back")
	}
	want(t, "data", content[:512], r.Written[:512])
	parked := d.q.Send([][]byte{header(tIn, 1)}, 512, 1)
	if got := d.dev.Counters().Reads; got != 1 {
		t.Errorf("reads at rest: got %d; want 1", got)
	}
	d.Resume()
	want(t, "parked", append(content[512:1024:1024], ok), d.q.Wait(parked))
}

// TestStopWaits has the guest reset a disk whose image hangs.
func TestStopWaits(t *testing.T) {
	c, content := config(t, mib)
	g := newGate()
	c.Engine = gated(g)
	d := newDisk(t, c, virtiotest.Options{})
	d.q.Send([][]byte{header(tIn, 0)}, 512, 1)
	<-g.come
	stopped := make(chan struct{})
	go func() {
		d.dev.Stop()
		close(stopped)
	}()
	// Resume is what a stop that was abandoned does; it must not undo the reset.
	d.dev.Resume()
	select {
	case <-stopped:
		t.Fatal("the device was reset while the kernel writes into the guest's memory")
	case <-time.After(10 * time.Millisecond):
	}
	g.set(false)
	<-stopped
	d.Stop()
	d.Start()
	want(t, "after the reset", content[:512], d.read(0, 512))
}

// scripted is an engine that fails operations of some kinds with an error.
type scripted struct {
	blk.Engine
	fail func(op *blk.Op) unix.Errno // 0: the operation is carried out
	done []*blk.Op
	seen *[]blk.Kind
}

func script(seen *[]blk.Kind, fail func(op *blk.Op) unix.Errno) blk.Opener {
	return func(f *os.File, depth int, kick *virtio.Kick) (blk.Engine, error) {
		inner, err := blk.Threads(f, depth, kick)
		return &scripted{Engine: inner, fail: fail, seen: seen}, err
	}
}

func (s *scripted) Submit(op *blk.Op) {
	*s.seen = append(*s.seen, op.Kind)
	if errno := s.fail(op); errno != 0 {
		op.Result = -int32(errno)
		s.done = append(s.done, op)
		return
	}
	s.Engine.Submit(op)
}

func (s *scripted) Reap(done []*blk.Op) (int, error) {
	n := copy(done, s.done)
	s.done = s.done[n:]
	m, err := s.Engine.Reap(done[n:])
	return n + m, err
}

// TestNoFallocate is a disk on a filesystem that can neither punch nor zero.
func TestNoFallocate(t *testing.T) {
	for name, tt := range map[string]struct {
		fails []blk.Kind
		kind  uint32
		flags uint64
		want  []blk.Kind
	}{
		"discard":         {[]blk.Kind{blk.Discard}, tDiscard, 0, []blk.Kind{blk.Discard}},
		"zeroes":          {[]blk.Kind{blk.Zero}, tWriteZeroes, 0, []blk.Kind{blk.Zero, blk.Write, blk.Write, blk.Write}},
		"unmap, no holes": {[]blk.Kind{blk.Discard}, tWriteZeroes, 1, []blk.Kind{blk.Discard, blk.Zero}},
		"unmap, nothing":  {[]blk.Kind{blk.Discard, blk.Zero}, tWriteZeroes, 1, []blk.Kind{blk.Discard, blk.Zero, blk.Write, blk.Write, blk.Write}},
	} {
		t.Run(name, func(t *testing.T) {
			c, content := config(t, 4*mib)
			var seen []blk.Kind
			c.Engine = script(&seen, func(op *blk.Op) unix.Errno {
				for _, k := range tt.fails {
					if op.Kind == k {
						return unix.EOPNOTSUPP
					}
				}
				return 0
			})
			d := newDisk(t, c, virtiotest.Options{})
			const sectors = 5000 // 2.4 MiB
			for range 2 {
				if got := d.do(tt.kind, 0, ranges(3, sectors, tt.flags)); got != ok {
					t.Errorf("status: got %d; want ok", got)
				}
			}
			d.Quiesce()
			if tt.kind == tWriteZeroes {
				clear(content[3*512:][:sectors*512])
				// The second time it knows.
				for _, k := range tt.want {
					if k == blk.Write || k == blk.Zero && len(tt.want) == 2 {
						tt.want = append(tt.want, k)
					}
				}
			}
			if diff := cmp.Diff(tt.want, seen); diff != "" {
				t.Errorf("operations (-want +got):\n%s", diff)
			}
			file, err := os.ReadFile(c.File.Name())
			if err != nil {
				t.Fatal(err)
			}
			want(t, "image", content, file)
		})
	}
}

// TestFailures has the image fail.
func TestFailures(t *testing.T) {
	c, _ := config(t, mib)
	var seen []blk.Kind
	fails := map[blk.Kind]unix.Errno{blk.Read: unix.EIO, blk.Write: unix.ENOSPC, blk.Sync: unix.EIO, blk.Discard: unix.EIO, blk.Zero: unix.EIO}
	c.Engine = script(&seen, func(op *blk.Op) unix.Errno { return fails[op.Kind] })
	d := newDisk(t, c, virtiotest.Options{})
	read := d.q.Do([][]byte{header(tIn, 0)}, 512, 1)
	for name, got := range map[string]byte{
		"read":    d.status(read),
		"write":   d.do(tOut, 0, make([]byte, 512)),
		"discard": d.do(tDiscard, 0, ranges(0, 1, 0)),
		"zeroes":  d.do(tWriteZeroes, 0, ranges(0, 1, 0)),
		"flush":   d.do(tFlush, 0),
	} {
		if got != ioError {
			t.Errorf("%s: got status %d; want an I/O error", name, got)
		}
	}
	if len(read) != 513 {
		t.Errorf("a read that failed: got %d bytes marked as written; want all 513", len(read))
	}
	// What the failed flush was to keep is gone, and no later one brings it back.
	d.Quiesce()
	clear(fails)
	d.Resume()
	if got := d.do(tFlush, 0); got != ioError {
		t.Errorf("flush after a failed flush: got status %d; want an I/O error", got)
	}
	if err := d.dev.Sync(); !errors.Is(err, unix.EIO) {
		t.Errorf("sync after a failed flush: got %v; want EIO", err)
	}
	if got := d.do(tOut, 0, make([]byte, 512)); got != ok {
		t.Errorf("write: got status %d; want ok", got)
	}
}

// TestInterrupted has each operation carried out only at the third attempt.
func TestInterrupted(t *testing.T) {
	c, content := config(t, mib)
	var seen []blk.Kind
	c.Engine = script(&seen, func(*blk.Op) unix.Errno {
		if len(seen)%3 != 0 {
			return unix.EINTR
		}
		return 0
	})
	d := newDisk(t, c, virtiotest.Options{})
	want(t, "read", content[:512], d.read(0, 512))
	if got := d.do(tFlush, 0); got != ok {
		t.Errorf("flush: got status %d; want ok", got)
	}
}

// TestShortImage has somebody cut the image off.
func TestShortImage(t *testing.T) {
	onEngines(t, func(t *testing.T, open blk.Opener) {
		c, content := config(t, mib)
		c.Engine = open
		d := newDisk(t, c, virtiotest.Options{})
		if err := os.Truncate(c.File.Name(), 1000); err != nil {
			t.Fatal(err)
		}
		if got := d.status(d.q.Do([][]byte{header(tIn, 0)}, 4096, 1)); got != ioError {
			t.Errorf("read across the end of the image: got status %d; want an I/O error", got)
		}
		want(t, "what is there", content[:512], d.read(0, 512))
	})
}

// dying is an engine that takes operations, and then is of no more use.
type dying struct {
	blk.Engine
	taken chan struct{} // closed with the first operation
	dead  bool
}

func (e *dying) Submit(*blk.Op) {
	e.dead = true
	close(e.taken)
}

func (e *dying) Reap(done []*blk.Op) (int, error) {
	n, err := e.Engine.Reap(done)
	if e.dead {
		err = errors.New("the engine died")
	}
	return n, err
}

// TestEngineDies has the engine of a disk fail with a request on its way. Nobody
// will ever hear of it again: a reset does not wait for it, nor does a pause.
func TestEngineDies(t *testing.T) {
	c, _ := config(t, mib)
	taken := make(chan struct{})
	c.Engine = func(f *os.File, depth int, kick *virtio.Kick) (blk.Engine, error) {
		inner, err := blk.Threads(f, depth, kick)
		return &dying{Engine: inner, taken: taken}, err
	}
	d := newDisk(t, c, virtiotest.Options{})
	d.q.Send([][]byte{header(tIn, 0)}, 512, 1)
	<-taken
	if err := d.WaitFailure(); !strings.Contains(err.Error(), "died") {
		t.Errorf("failure: got %v; want that the engine died", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := d.dev.Quiesce(ctx); err != nil {
		t.Fatalf("quiesce: %v; want rest", err)
	}
	d.Stop()
}
