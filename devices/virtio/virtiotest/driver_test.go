package virtiotest_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
	"github.com/ferryvmm/ferry/guestmem"
)

func wantAnswer(t *testing.T, q *virtiotest.Queue, say string) {
	t.Helper()
	if got := string(q.Do([][]byte{[]byte(say)}, 3, len(say))); got != say {
		t.Errorf("answer: got %q; want %q", got, say)
	}
}

func TestEcho(t *testing.T) {
	for _, o := range []virtiotest.Options{
		{},
		{Indirect: true},
		{Refuse: virtio.FeatureEventIdx},
		{Refuse: virtio.FeatureIndirect | virtio.FeatureEventIdx | virtiotest.EchoFeature, Indirect: true, Size: 4},
	} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			d := virtiotest.Run(t, virtiotest.NewEcho(8, 256), virtiotest.NewMemory(t, 1<<20), o)
			for i := range 20 {
				wantAnswer(t, d.Queue(i%2), fmt.Sprintf("number %d", i))
			}
			q := d.Queue(1)
			sent := []*virtiotest.Request{q.Add([][]byte{[]byte("one")}, 3), q.Add([][]byte{[]byte("two")}, 9)}
			q.Kick()
			for i, want := range []string{"one", "two"} {
				r := q.Next()
				if diff := cmp.Diff(want, string(r.Written)); r != sent[i] || diff != "" {
					t.Errorf("request %d, in order %v (-want +got):\n%s", i, r == sent[i], diff)
				}
			}
			if r := q.Poll(); r != nil {
				t.Errorf("nothing was sent, and %q was used", r.Written)
			}
			if q.Interrupts() == 0 {
				t.Error("got no interrupt; want some")
			}
		})
	}
}

func TestRestAndMove(t *testing.T) {
	d := virtiotest.Run(t, virtiotest.NewEcho(8, 8, 8), virtiotest.NewMemory(t, 1<<20), virtiotest.Options{Absent: []int{1}})
	q := d.Queue(0)
	wantAnswer(t, q, "before")
	d.Quiesce()
	waiting := q.Send([][]byte{[]byte("waiting")}, 7)
	if r := q.Poll(); r != nil {
		t.Errorf("a device at rest used %q", r.Written)
	}
	if got := d.States()[0]; got.Next != 1 || got.Used != 1 {
		t.Errorf("state of the queue at rest: got %+v; want Next and Used 1", got)
	}
	d.Move(func() virtio.Device { return virtiotest.NewEcho(8, 8, 8) })
	if got := string(q.Wait(waiting)); got != "waiting" {
		t.Errorf("parked in the move: got %q; want %q", got, "waiting")
	}
	wantAnswer(t, d.Queue(2), "after")
	d.Stop()
	d.Start()
	wantAnswer(t, q, "after a reset")
}

func TestConfigAndFailure(t *testing.T) {
	e := virtiotest.NewEcho(8)
	d := virtiotest.Run(t, e, virtiotest.NewMemory(t, 1<<20), virtiotest.Options{})
	e.WriteConfig(0, []byte{7})
	d.WaitConfigChanges(1)
	if got := d.Config(0, 2); !bytes.Equal(got, []byte{7, 0}) {
		t.Errorf("configuration: got %v; want [7 0]", got)
	}
	d.Queue(0).AddSpans([]virtiotest.Span{{GPA: 1 << 40, Size: 1}}, nil)
	d.Queue(0).Kick()
	if err := d.WaitFailure(); !errors.Is(err, virtio.ErrDriver) {
		t.Errorf("a buffer outside memory: got %v; want ErrDriver", err)
	}
	d.Stop()
	d.Start()
	wantAnswer(t, d.Queue(0), "after a reset")
}

// liar is a test that may fail.
type liar struct {
	testing.TB
	failed bool
}

func (l *liar) Errorf(string, ...any) { l.failed = true }

func TestMissingMarkIsFound(t *testing.T) {
	l := &liar{TB: t}
	mem := virtiotest.NewMemory(t, 1<<20)
	d := virtiotest.Run(l, &badEcho{Echo: virtiotest.NewEcho(8)}, mem, virtiotest.Options{})
	d.Queue(0).Do([][]byte{[]byte("unmarked")}, 8)
	if !l.failed {
		t.Error("a device wrote more than it said and marked, and the driver did not notice")
	}
}

// badEcho says that it wrote nothing.
type badEcho struct {
	*virtiotest.Echo
	worker *virtio.Worker
}

func (b *badEcho) Start(d virtio.Driver) error {
	q := d.Queues[0]
	b.worker = virtio.NewWorker(q.Kick(), func() bool {
		var c virtio.Chain
		if ok, _ := q.Pop(&c); ok {
			c.Writable[0].Bytes[0] ^= 1
			q.Push(&c, 0)
			q.Publish()
		}
		return q.WantKicks()
	})
	b.worker.Resume()
	return nil
}

func (b *badEcho) Stop() { b.worker.Stop() }

func TestWrap(t *testing.T) {
	layout, err := guestmem.NewLayout(64 << 20)
	if err != nil {
		t.Fatal(err)
	}
	mem, err := guestmem.New(layout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mem.Close() })
	tracker, err := mem.Track()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tracker.Close() })
	d := virtiotest.Run(t, virtiotest.NewEcho(8), virtiotest.Wrap(t, mem, 1<<20, 1<<20), virtiotest.Options{})
	wantAnswer(t, d.Queue(0), "in real memory")
	if n, err := tracker.Harvest(); err != nil || n == 0 {
		t.Errorf("dirty pages: got %d, %v; want some", n, err)
	}
}
