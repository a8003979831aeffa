package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
)

// Protocol is how a Ping asks.
type Protocol string

// The protocols: UDP to port 7 (RFC 862), echo requests (RFC 792, RFC 4443).
const (
	UDP  Protocol = "udp"
	ICMP Protocol = "icmp"
)

const (
	echoPort   = 7
	icmpHeader = 8  // bytes: type, code, sum, id, number
	pingData   = 56 // bytes, as ping(8) has them: the client's mark, the number, a pattern
)

// answer is what a packet that came is.
type answer int

const (
	right answer = iota
	damaged
	stranger // to somebody else's question
)

// pingSocket is the socket of a Ping, and the form of what goes over it.
type pingSocket struct {
	conn    net.Conn
	receive func(b, oob []byte) (n, oobn int, err error)
	mark    uint64 // of this client
	header  int    // bytes before the data of a question
	request byte   // its type, with ICMP
	reply   byte
	withIP  bool // answers come with the header of IPv4
}

// open connects. It runs in the namespace of the client.
func (s *pingSocket) open(over Protocol, to netip.Addr) (err error) {
	s.mark = rand.Uint64()
	switch {
	case over == UDP:
		s.conn, err = net.Dial("udp", netip.AddrPortFrom(to, echoPort).String())
	case over == ICMP && to.Is4():
		s.header, s.request, s.reply, s.withIP = icmpHeader, 8, 0, true
		s.conn, err = net.Dial("ip4:icmp", to.String())
	case over == ICMP:
		s.header, s.request, s.reply = icmpHeader, 128, 129
		s.conn, err = net.Dial("ip6:ipv6-icmp", to.String())
	default:
		err = fmt.Errorf("got protocol %q; want %s or %s", over, UDP, ICMP)
	}
	if err != nil {
		return err
	}
	var raw syscall.RawConn
	switch c := s.conn.(type) {
	case *net.UDPConn:
		raw, err = c.SyscallConn()
		s.receive = func(b, oob []byte) (int, int, error) {
			n, oobn, _, _, err := c.ReadMsgUDPAddrPort(b, oob)
			return n, oobn, err
		}
	case *net.IPConn:
		raw, err = c.SyscallConn()
		s.receive = func(b, oob []byte) (int, int, error) {
			n, oobn, _, _, err := c.ReadMsgIP(b, oob)
			return n, oobn, err
		}
	}
	if err == nil {
		err = errors.Join(stamped(raw), patient(raw))
	}
	if err != nil {
		s.conn.Close()
	}
	return err
}

// size is how long a question is, in bytes.
func (s *pingSocket) size() int { return s.header + pingData }

// question writes the numbered question into b, of size bytes. The kernel adds
// the sum of ICMPv6.
func (s *pingSocket) question(b []byte, number uint64) {
	s.data(b[s.header:], number)
	if s.header == 0 {
		return
	}
	b[0], b[1] = s.request, 0
	clear(b[2:4])
	binary.BigEndian.PutUint16(b[4:], uint16(s.mark))
	binary.BigEndian.PutUint16(b[6:], uint16(number))
	if s.withIP {
		binary.BigEndian.PutUint16(b[2:], sum(b))
	}
}

// data is what an answer must bring back.
func (s *pingSocket) data(b []byte, number uint64) {
	binary.LittleEndian.PutUint64(b, s.mark)
	binary.LittleEndian.PutUint64(b[8:], number)
	for i := range b[16:] {
		b[16+i] = byte(number) + byte(i)
	}
}

// read returns what comes next: the number of the question that it answers, and
// when it came.
func (s *pingSocket) read(b, oob []byte) (number uint64, kind answer, at stamp, err error) {
	n, oobn, err := s.receive(b, oob)
	if err != nil {
		return 0, stranger, 0, err
	}
	number, kind = s.answer(b[:n])
	return number, kind, arrival(oob[:oobn]), nil
}

// answer tells what a packet that came is.
func (s *pingSocket) answer(b []byte) (number uint64, kind answer) {
	if s.withIP { // a raw socket gives it too
		if len(b) < 20 || len(b) < int(b[0]&15)*4 {
			return 0, stranger
		}
		b = b[int(b[0]&15)*4:]
	}
	if s.header > 0 {
		if len(b) < s.header || b[0] != s.reply || binary.BigEndian.Uint16(b[4:]) != uint16(s.mark) {
			return 0, stranger
		}
		b = b[s.header:]
	}
	if len(b) < 16 || binary.LittleEndian.Uint64(b) != s.mark {
		return 0, damaged
	}
	number = binary.LittleEndian.Uint64(b[8:])
	var want [pingData]byte
	s.data(want[:], number)
	if !bytes.Equal(b, want[:]) {
		return 0, damaged
	}
	return number, right
}

// sum is the checksum of RFC 1071, of an even number of bytes.
func sum(b []byte) uint16 {
	var s uint32
	for ; len(b) > 0; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	s = s&0xffff + s>>16
	return ^uint16(s + s>>16)
}
