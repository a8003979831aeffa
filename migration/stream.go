package migration

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"
)

// A file begins with these bytes: magic [8], format version u16, zeros [2], and
// the CRC-32C of all before it. Then come the frames of a source in order, and
// an End frame with the totals, after which there is nothing.
const (
	streamMagic      = "FERRYCPY"
	streamHeaderSize = 16

	// StreamVersion is the version of the file format.
	StreamVersion = 1
)

// streamTotals is the payload of the End frame: frames before it u32, their
// bytes u64 and the CRC-32C of those, the file's header included.
type streamTotals struct {
	frames uint32
	bytes  uint64
	sum    uint32
}

const streamTotalsSize = 16

func (t streamTotals) encode() []byte {
	b := make([]byte, streamTotalsSize)
	binary.LittleEndian.PutUint32(b, t.frames)
	binary.LittleEndian.PutUint64(b[4:], t.bytes)
	binary.LittleEndian.PutUint32(b[12:], t.sum)
	return b
}

func encodeStreamHeader(version uint16) []byte {
	b := make([]byte, streamHeaderSize)
	copy(b, streamMagic)
	binary.LittleEndian.PutUint16(b[8:], version)
	binary.LittleEndian.PutUint32(b[12:], crc32.Checksum(b[:12], castagnoli))
	return b
}

func checkStreamHeader(b []byte) error {
	if string(b[:8]) != streamMagic {
		return ErrNotFerry
	}
	if binary.LittleEndian.Uint32(b[12:]) != crc32.Checksum(b[:12], castagnoli) {
		return fmt.Errorf("%w: its header", ErrCorrupt)
	}
	if v := binary.LittleEndian.Uint16(b[8:]); v != StreamVersion {
		return &VersionError{TheirMin: v, TheirMax: v, OurMin: StreamVersion, OurMax: StreamVersion}
	}
	return nil
}

// begin writes the file's header. Nobody else uses the outlet yet.
func (o *outlet) begin() error { return o.raw(encodeStreamHeader(StreamVersion)) }

// end writes the file's trailer and all that is buffered.
func (o *outlet) end() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := streamTotals{
		frames: o.seq,
		bytes:  o.sent.Load() + uint64(len(o.file.stable)),
		sum:    o.file.sum,
	}
	o.head = o.head[:0]
	o.put(header{Type: frameEnd}, t.encode())
	if err := o.write(nil, nil); err != nil {
		return err
	}
	return o.flush()
}

func save(ctx context.Context, c SaveConfig) (Result, error) {
	s := newSender(SendConfig{
		Guest: c.Guest, Memory: c.Memory, Description: c.Description, Blobs: c.Blobs, Mode: c.Mode,
		DowntimeLimit: c.DowntimeLimit, Timeout: c.Timeout, SaveCost: c.SaveCost, Cancel: c.Cancel,
		Progress: c.Progress, Accepted: c.Accepted,
	}, true)
	out := newFileOutlet(c.Stream)
	s.ctl, s.bulk, s.pages = out, out, newPageWriter(out)
	s.wanted = make(map[string]bool)
	for _, b := range c.Description.Blobs {
		s.wanted[b.ID] = true
	}
	s.seal = func() error {
		if err := out.end(); err != nil {
			return err
		}
		if f, ok := c.Stream.(interface{ Sync() error }); ok {
			return f.Sync()
		}
		return nil
	}
	if err := out.begin(); err != nil {
		return Result{Outcome: OutcomeFailed, Reason: err.Error()}, err
	}
	return s.run(ctx)
}

// respond says what a target would, for a file that takes what it is given.
func (s *sender) respond(event sourceEvent) {
	switch event {
	case onPushed:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.round.MS = milliseconds(time.Since(s.times.round))
		s.postLocked(sourceInput{event: onRoundAck, round: uint32(s.machine.round)})
	case onFinished:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.times.prepared = time.Now()
		s.postLocked(sourceInput{event: onPrepared})
	}
}

// fileReader plays the source of a move from a file.
type fileReader struct {
	r      *receiver
	in     *inlet
	frames uint32 // before the End frame
	seen   bool   // the Reserve frame
}

func restore(ctx context.Context, stream io.Reader, h Host) (Result, error) {
	r := newReceiver(ReceiveConfig{Host: h})
	stop := context.AfterFunc(ctx, func() {
		r.post(targetInput{event: gotCancel, err: fmt.Errorf("%w: %w", ErrCancelled, context.Cause(ctx))})
	})
	in := newInlet(stream, bulkBuffer)
	in.summing = true
	r.bulk = &bulkReader{in: in}
	f := &fileReader{r: r, in: in}
	if err := f.read(); err != nil {
		r.post(targetInput{event: gotFailed, err: err})
	} else {
		// The file is whole: it may start.
		r.post(targetInput{event: gotCommit})
		r.post(targetInput{event: gotRelease})
	}
	stop()
	r.wg.Wait()
	<-r.building.Done()
	r.discard()
	return r.result()
}

// read takes in the whole file.
func (f *fileReader) read() error {
	if err := f.in.fill(streamHeaderSize); err != nil {
		return f.short(err)
	}
	if err := checkStreamHeader(f.in.take(streamHeaderSize)); err != nil {
		return err
	}
	for {
		bytes, sum := f.in.total, f.in.sum
		h, err := f.in.next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: it has no end", ErrTruncated)
		}
		if errors.Is(err, ErrNotFerry) {
			return fmt.Errorf("%w: no frame after its header", ErrCorrupt)
		}
		if err != nil {
			return err
		}
		if h.Type == frameEnd {
			return f.end(h, streamTotals{frames: f.frames, bytes: bytes, sum: sum})
		}
		f.frames++
		if err := f.frame(h); err != nil {
			return err
		}
		if f.r.building.Err() != nil {
			return nil // the move has ended; why is known there
		}
	}
}

// short tells a file that is no copy from one that ends in its header.
func (f *fileReader) short(err error) error {
	have := f.in.buf[f.in.lo:f.in.hi]
	n := min(len(have), len(streamMagic))
	if errors.Is(err, ErrTruncated) && !bytes.Equal(have[:n], []byte(streamMagic)[:n]) {
		return ErrNotFerry
	}
	return err
}

// frame takes one frame.
func (f *fileReader) frame(h header) error {
	switch h.Type {
	case frameReserve, frameState:
		p, err := f.in.payload(h)
		if err != nil {
			return err
		}
		if err := f.r.handle(h, p); err != nil {
			return err
		}
		if h.Type == frameReserve {
			f.seen = true
			f.r.wg.Wait() // built
		}
		return nil
	case framePages, frameRoundEnd, frameBlob:
		if !f.seen {
			return fmt.Errorf("%w: %v before the reservation", ErrProtocol, h.Type)
		}
		round, ended, err := f.r.bulk.handle(h)
		if err == nil && ended {
			f.r.roundEnded(round)
		}
		return err
	}
	return fmt.Errorf("%w: %v in a file", ErrProtocol, h.Type)
}

// end checks the trailer against what was read.
func (f *fileReader) end(h header, got streamTotals) error {
	p, err := f.in.payload(h)
	if err != nil {
		return err
	}
	if !bytes.Equal(p, got.encode()) {
		return fmt.Errorf("%w: its sum is wrong", ErrCorrupt)
	}
	switch err := f.in.fill(1); {
	case err == nil:
		return fmt.Errorf("%w: there is more behind its end", ErrCorrupt)
	case !errors.Is(err, ErrTruncated):
		return err
	}
	return nil
}
