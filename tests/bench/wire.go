package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/lab"
)

// loadType is the Ethernet type of loadgen's frames, one for experiments.
const loadType = 0x88b5

// wirePatience is how long receive waits, in ms.
const wirePatience = 20

// wire is a raw socket on a host's bridge, to send frames to the guest and see those that come back.
type wire struct {
	fd    int
	frame []byte // that is sent
	buf   []byte // what came
}

// openWire opens one for frames of size bytes.
func openWire(h *lab.Host, size int) (*wire, error) {
	own, err := h.BridgeMAC()
	if err != nil {
		return nil, err
	}
	guest, err := net.ParseMAC(guestMAC)
	if err != nil {
		return nil, err
	}
	w := &wire{fd: -1, frame: make([]byte, size), buf: make([]byte, 2048)}
	copy(w.frame, guest)
	copy(w.frame[6:], own)
	binary.BigEndian.PutUint16(w.frame[12:], loadType)
	if err := h.Do(w.open); err != nil {
		w.close()
		return nil, fmt.Errorf("open a raw socket on the bridge: %w", err)
	}
	return w, nil
}

func (w *wire) open() (err error) {
	bridge, err := net.InterfaceByName(lab.BridgeName)
	if err != nil {
		return err
	}
	if w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	network := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, loadType))
	patience := unix.NsecToTimeval(wirePatience * 1e6)
	return errors.Join(
		unix.SetsockoptTimeval(w.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience),
		unix.SetsockoptInt(w.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.Bind(w.fd, &unix.SockaddrLinklayer{Protocol: network, Ifindex: bridge.Index}),
	)
}

// send sends a frame, or drops it where the wire is full.
func (w *wire) send() error {
	_, err := unix.Write(w.fd, w.frame)
	if errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return nil
	}
	return err
}

// receive says whether a frame came within wirePatience.
func (w *wire) receive() (bool, error) {
	_, err := unix.Read(w.fd, w.buf)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return false, nil
	}
	return err == nil, err
}

func (w *wire) close() {
	if w.fd >= 0 {
		unix.Close(w.fd)
	}
}
