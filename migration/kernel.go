package migration

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
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

// minRoundTrip is the shortest round trip that the kernel has seen on a connection
// (tcpi_min_rtt); 0 if that is not known.
func minRoundTrip(conn net.Conn) time.Duration {
	if info := tcpInfo(conn); info != nil && info.Min_rtt != ^uint32(0) {
		return time.Duration(info.Min_rtt) * time.Microsecond
	}
	return 0
}
