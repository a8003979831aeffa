package lab

import (
	"encoding/binary"
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// stamped has the kernel say when each packet came: who reads it may be late.
func stamped(raw syscall.RawConn) error {
	var set error
	err := raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	})
	return errors.Join(err, set)
}

// socketBuffer, in bytes, is what the kernel keeps for one who reads late: else
// what it drops would count as lost on the way.
const socketBuffer = 16 << 20

// patient has the kernel keep that much. It needs CAP_NET_ADMIN.
func patient(raw syscall.RawConn) error {
	var set error
	err := raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer)
	})
	return errors.Join(err, set)
}

// arrival is when a packet came, by the control messages that came with it. The
// kernel tells it by CLOCK_REALTIME.
func arrival(oob []byte) stamp {
	now := Now()
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return now
	}
	for _, m := range messages {
		if m.Header.Level != unix.SOL_SOCKET || m.Header.Type != unix.SCM_TIMESTAMPNS || len(m.Data) < 16 {
			continue
		}
		var real unix.Timespec
		if unix.ClockGettime(unix.CLOCK_REALTIME, &real) != nil {
			return now
		}
		came := unix.Timespec{Sec: int64(binary.NativeEndian.Uint64(m.Data)), Nsec: int64(binary.NativeEndian.Uint64(m.Data[8:]))}
		return now - stamp(real.Nano()-came.Nano())
	}
	return now
}
