package migration

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/sealed"
)

// socket calls f with a connection's descriptor, if it has one and is not closed.
func socket(conn net.Conn, f func(fd int)) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { f(int(fd)) })
	}
}

// tcpInfo is what the kernel knows of a connection; nil if that is nothing, tcp(7).
func tcpInfo(conn net.Conn) (info *unix.TCPInfo) {
	socket(conn, func(fd int) {
		if i, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			info = i
		}
	})
	return info
}

// unread tells whether a connection has bytes that nobody has read yet (SIOCINQ, tcp(7)).
func unread(conn net.Conn) (some bool) {
	if c, ok := conn.(*sealed.Conn); ok && c.Buffered() > 0 {
		return true
	}
	socket(conn, func(fd int) {
		n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
		some = err == nil && n > 0
	})
	return some
}

// lineRate is what a connection could carry without a limiter, in bytes a
// second, as the kernel has seen its bursts to be delivered (tcpi_delivery_rate);
// 0 if that is not known. It is half of what was seen: the target has to place
// what comes, too.
func lineRate(conn net.Conn) float64 {
	if info := tcpInfo(conn); info != nil {
		return float64(info.Delivery_rate) / 2
	}
	return 0
}

// linkRate is how fast the link is just now for pages that are sent, in bytes a second: as the kernel has seen them to be delivered, or as it is
// limited while the guest runs; 0: unknown.
func (s *sender) linkRate(final bool) float64 {
	rate := s.line.rate(s.Bulk) + s.channels.rate()
	switch limit := float64(s.Bandwidth) / 8; {
	case limit > 0 && final: // busy with bursts, it was never full: as the forecast of the downtime has it
		return max(rate, lineRate(s.Bulk))
	case limit > 0 && (rate == 0 || limit < rate):
		return limit
	}
	return rate
}

// line measures how fast a connection delivers bytes while there are any: those that were confirmed (tcpi_bytes_acked) by the time during which
// some were under way (tcpi_busy_time) and the target's host had room for them (tcpi_rwnd_limited). So it does not matter how fast they are made, and a target
// that is slow makes no slow line: it would only get more to do by packed pages.
type line struct {
	acked, busy uint64 // bytes and microseconds, when it was measured last
	last        float64
}

// lineTime is the least time over which a line is measured: less says more of bursts than of the line.
const lineTime = 4 * time.Millisecond

// rate is in bytes a second; 0: unknown.
func (l *line) rate(conn net.Conn) float64 {
	info := tcpInfo(conn)
	if info == nil {
		return 0
	}
	acked, busy := info.Bytes_acked, info.Busy_time-min(info.Rwnd_limited, info.Busy_time)
	if acked < l.acked || busy < l.busy { // another connection
		*l = line{}
	}
	if took := time.Duration(busy-l.busy) * time.Microsecond; took >= lineTime && acked > l.acked {
		l.last = float64(acked-l.acked) / took.Seconds()
		l.acked, l.busy = acked, busy
	}
	return l.last
}

// minRoundTrip is the shortest round trip that the kernel has seen on a connection
// (tcpi_min_rtt); 0 if that is not known.
func minRoundTrip(conn net.Conn) time.Duration {
	if info := tcpInfo(conn); info != nil && info.Min_rtt != ^uint32(0) {
		return time.Duration(info.Min_rtt) * time.Microsecond
	}
	return 0
}
