package migration

import (
	"encoding/binary"
	"fmt"
)

// A Frames frame carries packets, each behind 8 bytes, little-endian: the number of the
// interface u8, of its queue u8, zeros u16, and the length u32.
const (
	packetHead = 8
	minPacket  = 12 + 14              // bytes: the virtio-net header, and Ethernet's
	maxPacket  = 12 + 14 + 4 + 0xffff // with a VLAN tag, and the longest IP packet: what a tap can give
	maxFrames  = 256 << 10            // bytes of one Frames frame
	// batchPackets is how many bytes of packets are gathered for one frame. With a head for each of the shortest they fit.
	batchPackets = 128 << 10
)

// appendPackets appends the payload of a Frames frame.
func appendPackets(b []byte, packets []Packet) []byte {
	for _, p := range packets {
		b = append(b, uint8(p.Interface), uint8(p.Queue), 0, 0)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p.Data)))
		b = append(b, p.Data...)
	}
	return b
}

// parsePackets reads the payload of a Frames frame of so many packets, which stay in it, and appends
// them to packets. The error is ErrProtocol.
func parsePackets(packets []Packet, count uint32, b []byte) ([]Packet, error) {
	for ; count > 0 && len(b) >= packetHead; count-- {
		n := binary.LittleEndian.Uint32(b[4:])
		if n < minPacket || n > maxPacket || int(n) > len(b)-packetHead || b[2] != 0 || b[3] != 0 {
			return nil, fmt.Errorf("%w: a packet of %d bytes, of %d that are left", ErrProtocol, n, len(b)-packetHead)
		}
		packets = append(packets, Packet{Interface: int(b[0]), Queue: int(b[1]), Data: b[packetHead:][:n:n]})
		b = b[packetHead+n:]
	}
	if count > 0 || len(b) > 0 {
		return nil, fmt.Errorf("%w: %d packets and %d bytes more than there are", ErrProtocol, count, len(b))
	}
	return packets, nil
}
