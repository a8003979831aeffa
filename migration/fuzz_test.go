package migration

import (
	"bytes"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func FuzzHello(f *testing.F) {
	f.Add(encoded(testHello))
	f.Add([]byte("FERRYMIG"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := DecodeHello(b)
		if err != nil {
			return
		}
		if got, err := DecodeHello(encoded(h)); err != nil || got != h {
			t.Errorf("got %+v, %v; want %+v", got, err, h)
		}
	})
}

func FuzzHeader(f *testing.F) {
	b := make([]byte, headerSize)
	header{Type: frameState, Length: 4}.put(b)
	f.Add(append(b, 1, 2, 3, 4))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := newInlet(bytes.NewReader(b), 4096)
		h, err := in.next()
		if err != nil {
			return
		}
		if p, err := in.payload(h); err == nil && len(p) != int(h.Length) {
			t.Errorf("got %d bytes; want %d", len(p), h.Length)
		}
	})
}

// FuzzMessages feeds every control payload to who reads it.
func FuzzMessages(f *testing.F) {
	add := func(t frameType, v any) {
		b, err := canonical.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(t), b)
	}
	add(frameReserve, Description{Name: "g", Layout: testLayout}.message())
	add(frameReserve, Description{Name: "g", Layout: testLayout, Modes: []Mode{Local}, Handed: []Handed{{Role: "memory:0"}}}.message())
	add(frameReserved, reservedMessage{Version: 1, Name: "g", Blobs: []string{"a"}})
	add(frameRefused, Refusal{Code: "a", Message: "b"})
	add(frameAbort, Refusal{})
	add(frameState, State{Format: 1, Sections: []Section{{ID: "a", Data: []byte{1}}}})
	add(framePrepared, preparedMessage{Restore: 5})
	add(frameCommit, Query{})
	add(frameRunning, runningMessage{})
	add(frameAnswer, answerMessage{Answer: Started})
	add(framePulled, pulledMessage{})
	add(frameDelivered, deliveredMessage{Packets: 1})
	for _, t := range []frameType{frameRoundAck, framePing, frameMissing, frameFetch, frameFrames, frameDrained, frameTaken, frameWant, frameOffer} {
		f.Add(byte(t), make([]byte, 16))
	}
	f.Fuzz(func(t *testing.T, kind byte, p []byte) {
		// Whatever it says, it is an event or an error of the codec, at either side.
		s := newSender(SendConfig{}, false)
		h := header{Type: frameType(kind), Length: uint32(len(p))}
		if err := s.handle(h, p); err != nil && !errors.Is(err, ErrProtocol) {
			t.Errorf("source: got %v; want an ErrProtocol", err)
		}
		r := newReceiver(ReceiveConfig{})
		r.machine.state = targetRunning // nothing is executed
		if err := r.handle(h, p); err != nil && !errors.Is(err, ErrProtocol) && !errors.Is(err, ErrSection) {
			t.Errorf("target: got %v; want an ErrProtocol", err)
		}
		if a, err := readAnswer(bytes.NewReader(p), Query{}); err == nil && (a < Unknown || a > Lost) {
			t.Errorf("got answer %v", a)
		}
		if sections, err := DecodeState(p); err == nil {
			again, err := EncodeState(sections)
			if err != nil {
				t.Fatal(err)
			}
			got, err := DecodeState(again)
			if diff := cmp.Diff(sections, got); err != nil || diff != "" {
				t.Errorf("state: %v (-want +got):\n%s", err, diff)
			}
		}
	})
}

// bounded is a pageSink that fails when something is placed outside memory.
type bounded struct{ t *testing.T }

func (bounded) Expect(uint64, uint64) (uint64, []byte) { return 0, nil }
func (bounded) Filled(uint64, uint64) error            { return nil }

func (b bounded) Place(gpa uint64, p []byte) error { return b.PlaceHole(gpa, uint64(len(p))) }

func (b bounded) PlaceHole(gpa, size uint64) error {
	if size == 0 || gpa%4096 != 0 || size%4096 != 0 || !within(testLayout, gpa, size) {
		b.t.Errorf("placed %#x bytes at %#x", size, gpa)
	}
	return nil
}

// FuzzBulk feeds frames with right checksums to the bulk reader.
func FuzzBulk(f *testing.F) {
	page := make([]byte, 4096)
	f.Add(BytesOf(PagesFrame(0, false, 0, 4096, wireData, page), EndOfRound(0, false, 1, 1, 0, 0), EndOfRound(1, true, 0, 0, 0, 0)))
	f.Add(BytesOf(PagesFrame(0, true, 4<<30, 8192, wireZero, nil), Frame{Type: byte(frameBlob), Flags: flagLast, Payload: []byte("kernel")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		frames := FramesOf(b)
		in := newInlet(bytes.NewReader(BuildStream(frames)), bulkBuffer)
		if err := in.fill(streamHeaderSize); err != nil {
			t.Fatal(err)
		}
		in.take(streamHeaderSize)
		r := bulkReader{in: in, pages: newPageReader(in, bounded{t}, testLayout, newGate()), blobs: new(blobs)}
		for range frames {
			h, err := in.next()
			if err == nil {
				_, _, err = r.handle(h)
			}
			if err != nil {
				return
			}
		}
	})
}

// FuzzWire feeds raw bytes to a target: it ends, and tells why.
func FuzzWire(f *testing.F) {
	var wire bytes.Buffer
	if err := newOutlet(&wire).message(header{Type: frameReserve}, Description{Name: "g", Layout: testLayout}.message()); err != nil {
		f.Fatal(err)
	}
	f.Add(wire.Bytes())
	f.Add([]byte("GET / HTTP/1.0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l := newLink(fed{r: bytes.NewReader(b)})
		defer close(l.stop)
		for {
			_, _, err := l.next()
			if err == nil {
				continue
			}
			if !errors.Is(err, ErrLinkLost) && !errors.Is(err, ErrProtocol) && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNotFerry) {
				t.Errorf("got %v; want an error of the codec or of the link", err)
			}
			return
		}
	})
}

// fed is a connection from which given bytes come, and which takes all.
type fed struct {
	net.Conn
	r *bytes.Reader
}

func (f fed) Read(p []byte) (int, error)      { return f.r.Read(p) }
func (f fed) Write(p []byte) (int, error)     { return len(p), nil }
func (f fed) SetReadDeadline(time.Time) error { return nil }
