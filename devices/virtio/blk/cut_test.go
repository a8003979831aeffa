package blk_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/blk"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

// volatile is an engine on a model of a disk with a cache that loses power. It
// completes operations in any order, and keeps of what was written only what it must:
// a sync makes durable the writes that were given back before it was submitted,
// a durable write itself.
type volatile struct {
	kick *virtio.Kick

	mu      sync.Mutex // guards what follows
	rand    *rand.Rand
	pending []*volatileOp
	cached  []extent // given back, and not durable
	stable  []byte
}

// volatileOp is an operation on its way; a sync covers what was given back before it came.
type volatileOp struct {
	op     *blk.Op
	covers []extent
}

// extent is data at an offset.
type extent struct {
	offset int64
	data   string
}

func (v *volatile) open(_ *os.File, _ int, kick *virtio.Kick) (blk.Engine, error) {
	v.kick = kick
	return v, nil
}

func (v *volatile) Submit(op *blk.Op) {
	v.mu.Lock()
	defer v.mu.Unlock()
	p := &volatileOp{op: op}
	if op.Kind == blk.Sync {
		p.covers = slices.Clone(v.cached)
	}
	v.pending = append(v.pending, p)
}

// Reap completes some operations, seldom all.
func (v *volatile) Reap(done []*blk.Op) (n int, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.rand.Shuffle(len(v.pending), func(i, j int) { v.pending[i], v.pending[j] = v.pending[j], v.pending[i] })
	for len(v.pending) > 0 && v.rand.IntN(3) > 0 {
		last := len(v.pending) - 1
		p := v.pending[last]
		v.pending = v.pending[:last]
		v.complete(p)
		done[n] = p.op
		n++
	}
	if len(v.pending) > 0 {
		v.kick.Wake()
	}
	return n, nil
}

func (v *volatile) complete(p *volatileOp) {
	p.op.Result = 0
	switch p.op.Kind {
	case blk.Write:
		e := extent{p.op.Offset, ""}
		for _, vec := range p.op.Vec {
			e.data += string(bytesOf(vec))
		}
		p.op.Result = int32(len(e.data))
		if p.op.Durable {
			v.keep(e)
		} else {
			v.cached = append(v.cached, e)
		}
	case blk.Sync:
		for _, e := range p.covers {
			v.keep(e)
		}
		v.cached = slices.DeleteFunc(v.cached, func(e extent) bool { return slices.Contains(p.covers, e) })
	}
}

func (v *volatile) keep(e extent) {
	copy(v.stable[e.offset:], e.data)
}

// cut is what is on the disk after a loss of power now, that is, what must be:
// anything else may be there too.
func (v *volatile) cut(offset int64, size int) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return string(v.stable[offset:][:size])
}

func (v *volatile) Wait()        { v.kick.Wait() }
func (v *volatile) Wake()        { v.kick.Wake() }
func (v *volatile) Close() error { return nil }

// TestFlushIsABarrier cuts the power of a disk with a cache at any time: every
// record that had been written when a flush began that has ended must be there.
func TestFlushIsABarrier(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { testCuts(t, seed, 0) })
	}
}

// TestWritethrough is the same for a driver that cannot flush: what was written is there.
func TestWritethrough(t *testing.T) {
	for seed := range uint64(3) {
		for _, refuse := range []uint64{blk.FeatureFlush, blk.FeatureFlush | blk.FeatureConfigWCE} {
			t.Run(fmt.Sprintf("%d, without %#x", seed, refuse), func(t *testing.T) { testCuts(t, seed, refuse) })
		}
	}
}

func testCuts(t *testing.T, seed, refuse uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	v := &volatile{rand: rand.New(rand.NewPCG(seed, 2)), stable: make([]byte, mib)}
	c, _ := config(t, mib)
	c.Engine = v.open
	d := newDisk(t, c, virtiotest.Options{Refuse: refuse})
	record := func(n int) string { return fmt.Sprintf("%0512d", n) }

	written := make(map[*virtiotest.Request]int)
	flushes := make(map[*virtiotest.Request][]int) // with the records that it must keep
	var back, safe []int                           // records given back; those that a flush has kept
	for n := 0; n < 300 || len(written)+len(flushes) > 0; {
		if n < 300 && d.q.Free() >= 3 {
			if r.IntN(8) == 0 && refuse == 0 {
				flushes[d.q.Send([][]byte{header(tFlush, 0)}, 1)] = slices.Clone(back)
			} else {
				written[d.q.Send([][]byte{header(tOut, uint64(n)), []byte(record(n))}, 1)] = n
				n++
			}
		}
		for req := d.q.Poll(); req != nil; req = d.q.Poll() {
			if got := d.status(req.Written); got != ok {
				t.Fatalf("status: got %d; want ok", got)
			}
			if keeps, is := flushes[req]; is {
				safe = append(safe, keeps...)
				delete(flushes, req)
				continue
			}
			back = append(back, written[req])
			if refuse != 0 {
				safe = append(safe, written[req])
			}
			delete(written, req)
		}
		if r.IntN(4) > 0 {
			continue
		}
		slices.Sort(safe)
		safe = slices.Compact(safe)
		for _, i := range safe[max(0, len(safe)-20):] {
			if diff := cmp.Diff(record(i), v.cut(int64(i)*512, 512)); diff != "" {
				t.Fatalf("power cut with %d records written: record %d, which was flushed (-want +got):\n%s", n, i, diff)
			}
		}
	}
	if len(safe) == 0 {
		t.Error("no record was ever safe; want some")
	}
}
