package blk_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/blk"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

// Where the hostile guest has its queue of 8, and below that what it likes.
const (
	fuzzMemory = 64 << 10
	fuzzQueue  = 8
	fuzzAvail  = 0x100
	fuzzUsed   = 0x200
	fuzzData   = 0x1000
	fuzzImage  = 64 << 10
)

// strict is an engine on an image in memory, which fails the test for an
// operation beyond it.
type strict struct {
	t     *testing.T
	image []byte
	kick  *virtio.Kick
	done  []*blk.Op
	idle  chan struct{} // one when the device first finds nothing more to do
}

func (s *strict) Submit(op *blk.Op) {
	op.Result = 0
	at := func(n int64) []byte {
		if op.Offset < 0 || n < 0 || op.Offset > int64(len(s.image)) || n > int64(len(s.image))-op.Offset {
			s.t.Errorf("operation %v of %d bytes at %d, in an image of %d", op.Kind, n, op.Offset, len(s.image))
			return nil
		}
		return s.image[op.Offset:][:n]
	}
	switch op.Kind {
	case blk.Read, blk.Write:
		if len(op.Vec) == 0 {
			s.t.Error("a transfer of nothing")
		}
		for _, v := range op.Vec {
			p, n := bytesOf(v), 0
			if op.Kind == blk.Read {
				n = copy(p, at(int64(len(p))))
			} else {
				n = copy(at(int64(len(p))), p)
			}
			op.Offset += int64(n)
			op.Result += int32(n)
		}
	case blk.Discard, blk.Zero:
		clear(at(op.Length))
	}
	s.done = append(s.done, op)
}

func (s *strict) Reap(done []*blk.Op) (int, error) {
	n := copy(done, s.done)
	s.done = s.done[n:]
	return n, nil
}

func (s *strict) Wait() {
	select {
	case s.idle <- struct{}{}:
	default:
	}
	s.kick.Wait()
}

func (s *strict) Wake()        { s.kick.Wake() }
func (s *strict) Close() error { return nil }

// silent is a transport that nobody listens to.
type silent struct{ t *testing.T }

func (s silent) ConfigChanged() {}

func (s silent) Fail(err error) {
	if !errors.Is(err, virtio.ErrDriver) {
		s.t.Errorf("the device failed: %v; want only what the driver did wrong", err)
	}
}

// FuzzRequest is a guest that puts anything on the queue. The input is flags, a
// table of descriptors (address, length, flags, next), and what is in memory.
func FuzzRequest(f *testing.F) {
	add := func(flags byte, memory []byte, descs ...[4]uint16) {
		in := []byte{flags}
		for i := range fuzzQueue {
			var d [4]uint16
			if i < len(descs) {
				d = descs[i]
			}
			for _, v := range d {
				in = binary.LittleEndian.AppendUint16(in, v)
			}
		}
		f.Add(append(in, memory...))
	}
	read := [][4]uint16{{fuzzData, 16, 1, 1}, {0x2000, 512, 3, 2}, {0x3000, 1, 2, 0}}
	write := [][4]uint16{{fuzzData, 16, 1, 1}, {0x2000, 512, 1, 2}, {0x3000, 1, 2, 0}}
	add(0, header(tIn, 1), read...)
	add(1, header(tIn, 1), read...)
	add(2, header(tIn, 127), read...)
	add(0, header(tOut, 1), write...)
	add(3, header(tOut, 1), write...)
	add(0, header(tFlush, 0), read...)
	add(0, header(tGetID, 0), read...)
	add(0, append(header(tDiscard, 0), ranges(1, 2, 0)...), [4]uint16{fuzzData, 32, 1, 1}, [4]uint16{0x3000, 1, 2, 0})
	add(4, append(header(tWriteZeroes, 0), ranges(1, 2, 1)...), [4]uint16{fuzzData, 32, 1, 1}, [4]uint16{0x3000, 1, 2, 0})

	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) < 1+8*fuzzQueue {
			return
		}
		flags, descs, content := in[0], in[1:][:8*fuzzQueue], in[1+8*fuzzQueue:]
		null, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		engine := &strict{t: t, image: bytes.Repeat([]byte{7}, fuzzImage), idle: make(chan struct{}, 1)}
		c := blk.Config{Name: "root", File: null, Size: fuzzImage, BlockSize: 512, Queues: 1, ReadOnly: flags&1 != 0,
			Engine: func(_ *os.File, _ int, kick *virtio.Kick) (blk.Engine, error) {
				engine.kick = kick
				return engine, nil
			}}
		if flags&8 != 0 {
			c.Read = func(gpa, size uint64, offset int64) {
				if gpa+size > fuzzMemory || offset < 0 || uint64(offset)+size > fuzzImage {
					t.Errorf("told of %d bytes at %#x, read from %d", size, gpa, offset)
				}
			}
		}
		if flags&2 != 0 {
			c.Alignment = 512
		}
		dev, err := blk.New(c, nil)
		if err != nil {
			t.Fatal(err)
		}
		mem := virtiotest.NewMemory(t, fuzzMemory)
		all, le := mem.Bytes(0, fuzzMemory), binary.LittleEndian
		copy(all[fuzzData:], content)
		for i := range fuzzQueue {
			d, s := all[i*16:], descs[i*8:]
			le.PutUint64(d, uint64(le.Uint16(s)))
			le.PutUint32(d[8:], uint32(le.Uint16(s[2:])))
			copy(d[12:16], s[4:8])
			le.PutUint16(all[fuzzAvail+4+2*i:], uint16(i))
		}
		le.PutUint16(all[fuzzAvail+2:], fuzzQueue)
		features := dev.Features() | virtio.FeatureIndirect | virtio.FeatureVersion1
		if flags&4 != 0 {
			features &^= blk.FeatureFlush
		}
		kick, err := virtio.NewKick()
		if err != nil {
			t.Fatal(err)
		}
		defer kick.Close()
		q, err := virtio.NewQueue(mem, virtio.QueueState{Size: fuzzQueue, Desc: 0, Avail: fuzzAvail, Use: fuzzUsed}, features, kick, func() {})
		if err != nil {
			t.Fatal(err)
		}
		before := bytes.Clone(all)
		if err := dev.Start(virtio.Driver{Features: features, Queues: []*virtio.Queue{q}, Transport: silent{t}}); err != nil {
			t.Fatal(err)
		}
		dev.Resume()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		select {
		case <-engine.idle:
		case <-ctx.Done():
			t.Fatal("the device goes on and on")
		}
		if err := dev.Quiesce(ctx); err != nil {
			t.Fatal(err)
		}
		for at := range uint64(fuzzMemory) {
			if before[at] != all[at] && !mem.Dirty(at, 1) {
				t.Fatalf("byte %#x of memory was changed, and not marked", at)
			}
		}
		if c.ReadOnly && !bytes.Equal(engine.image, bytes.Repeat([]byte{7}, fuzzImage)) {
			t.Error("a read-only image was changed")
		}
		dev.Stop()
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	})
}
