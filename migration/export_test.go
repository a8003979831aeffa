package migration

import (
	"bytes"
	"encoding/binary"
)

// StreamHeader is a file's header of some version, for tests outside.
func StreamHeader(version uint16) []byte { return encodeStreamHeader(version) }

// Frame is a frame whose checksums are made right.
type Frame struct {
	Type, Flags  byte
	Round, Count uint32
	Payload      []byte
}

// BuildStream makes a file of frames, with its header and end.
func BuildStream(frames []Frame) []byte {
	var b bytes.Buffer
	o := newFileOutlet(&b)
	if err := o.begin(); err != nil {
		panic(err) // a buffer takes everything
	}
	for _, f := range frames {
		h := header{Type: frameType(f.Type), Flags: f.Flags, Round: f.Round, Count: f.Count}
		table := f.Payload
		if h.Type == framePages {
			table = f.Payload[:min(len(f.Payload), int(f.Count%maxRuns*runSize))]
			h.Length = uint32(len(f.Payload))
			h.Flags &^= flagSummed
		}
		if err := o.pagesFrame(h, table, [][]byte{f.Payload[len(table):]}, nil, nil); err != nil {
			panic(err)
		}
	}
	if err := o.end(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// ReserveFrame asks for a guest of that layout.
func ReserveFrame(d Description) Frame {
	b, err := canonical.Marshal(d.message())
	if err != nil {
		panic(err)
	}
	return Frame{Type: byte(frameReserve), Payload: b}
}

// StateFrame is a state.
func StateFrame(sections []Section) Frame {
	b, err := EncodeState(sections)
	if err != nil {
		panic(err)
	}
	return Frame{Type: byte(frameState), Payload: b}
}

// EndOfRound ends a round with these totals.
func EndOfRound(round uint32, final bool, frames, data, zero, holes uint64) Frame {
	f := Frame{Type: byte(frameRoundEnd), Round: round, Payload: make([]byte, roundTotalsSize)}
	if final {
		f.Flags = flagFinal
	}
	roundTotals{Frames: frames, DataPages: data, ZeroPages: zero, HolePages: holes}.put(f.Payload)
	return f
}

// PagesFrame is one run of pages.
func PagesFrame(round uint32, final bool, gpa, size uint64, kind uint16, data []byte) Frame {
	f := Frame{Type: byte(framePages), Round: round, Count: 1, Payload: make([]byte, runSize, runSize+len(data))}
	if final {
		f.Flags = flagFinal
	}
	run{gpa: gpa, size: size, kind: kind}.put(f.Payload)
	f.Payload = append(f.Payload, data...)
	return f
}

// FramesOf cuts fuzzed bytes into frames: type, flags, round, count, length of
// the payload (two bytes), payload.
func FramesOf(b []byte) []Frame {
	var all []Frame
	for len(b) >= 6 && len(all) < 64 {
		n := min(int(binary.LittleEndian.Uint16(b[4:])), len(b)-6)
		all = append(all, Frame{Type: b[0], Flags: b[1], Round: uint32(b[2]), Count: uint32(b[3]), Payload: b[6 : 6+n]})
		b = b[6+n:]
	}
	return all
}

// BytesOf is the inverse of FramesOf.
func BytesOf(frames ...Frame) []byte {
	var b []byte
	for _, f := range frames {
		b = append(b, f.Type, f.Flags, byte(f.Round), byte(f.Count))
		b = binary.LittleEndian.AppendUint16(b, uint16(len(f.Payload)))
		b = append(b, f.Payload...)
	}
	return b
}
