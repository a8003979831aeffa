package migration

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var testPackets = []Packet{
	{Interface: 0, Queue: 0, Data: bytes.Repeat([]byte{1}, minPacket)},
	{Interface: 1, Queue: 7, Data: bytes.Repeat([]byte{2}, maxPacket)},
	{Interface: 255, Queue: 255, Data: bytes.Repeat([]byte{3}, 1526)},
}

func TestPackets(t *testing.T) {
	b := appendPackets(nil, testPackets)
	got, err := parsePackets(nil, uint32(len(testPackets)), b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(testPackets, got); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
	alter := func(at int, to byte) []byte {
		bad := bytes.Clone(b)
		bad[at] = to
		return bad
	}
	for name, tc := range map[string]struct {
		count uint32
		b     []byte
	}{
		"none":         {0, b},
		"too few":      {2, b},
		"too many":     {4, b},
		"cut":          {3, b[:len(b)-1]},
		"cut head":     {3, b[:packetHead-1]},
		"more":         {3, append(bytes.Clone(b), 0)},
		"too short":    {3, alter(4, minPacket-1)},
		"too long":     {3, alter(6, 1)},
		"far too long": {3, alter(7, 0xff)},
		"not zero":     {3, alter(2, 1)},
	} {
		if _, err := parsePackets(nil, tc.count, tc.b); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: got %v; want ErrProtocol", name, err)
		}
	}
}

// TestPacketsFit: what is gathered for one frame is never more than the peer takes.
func TestPacketsFit(t *testing.T) {
	for _, size := range []int{minPacket, 1526, maxPacket} {
		packets := []Packet{{Data: make([]byte, size)}}
		for n := size; n+size <= batchPackets; n += size {
			packets = append(packets, packets[0])
		}
		if got := len(appendPackets(nil, packets)); got > maxFrames {
			t.Errorf("packets of %d bytes: got a frame of %d; want at most %d", size, got, maxFrames)
		}
	}
}

// FuzzPackets: whatever is read fits the packets' limits, and is written as it came.
func FuzzPackets(f *testing.F) {
	f.Add(uint32(3), appendPackets(nil, testPackets))
	f.Add(uint32(1), []byte{0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, count uint32, b []byte) {
		packets, err := parsePackets(nil, count, b)
		if err != nil {
			if !errors.Is(err, ErrProtocol) {
				t.Errorf("got %v; want an ErrProtocol", err)
			}
			return
		}
		for _, p := range packets {
			if len(p.Data) < minPacket || len(p.Data) > maxPacket {
				t.Errorf("got a packet of %d bytes", len(p.Data))
			}
		}
		if again := appendPackets(nil, packets); !bytes.Equal(again, b) {
			t.Errorf("got %x; want %x", again, b)
		}
	})
}
