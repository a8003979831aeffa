package main

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// echoPort is that of RFC 862.
const echoPort = 7

// Limits of the echo.
const (
	maxDatagram    = 64 << 10
	maxConnections = 64 // each has a thread and a buffer
	streamBuffer   = 16 << 10
)

// startEcho begins to send back what comes by UDP and TCP.
func startEcho() error {
	udp, err := bind(unix.SOCK_DGRAM)
	if err != nil {
		return fmt.Errorf("udp: %w", err)
	}
	tcp, err := bind(unix.SOCK_STREAM)
	if err != nil {
		return fmt.Errorf("tcp: %w", err)
	}
	if err := unix.Listen(tcp, maxConnections); err != nil {
		return fmt.Errorf("tcp: %w", err)
	}
	go echoDatagrams(udp)
	go acceptStreams(tcp)
	return nil
}

// startVsockEcho begins to send back what comes on a port of the vsock.
func startVsockEcho(port uint32) error {
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: port}); err != nil {
		return err
	}
	if err := unix.Listen(fd, maxConnections); err != nil {
		return err
	}
	go acceptStreams(fd)
	return nil
}

// bind returns a socket of both families, or of IPv4 where the kernel has no other.
func bind(kind int) (int, error) {
	var to unix.Sockaddr = &unix.SockaddrInet6{Port: echoPort}
	fd, err := unix.Socket(unix.AF_INET6, kind|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		to = &unix.SockaddrInet4{Port: echoPort}
		fd, err = unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
	}
	if err != nil {
		return -1, err
	}
	return fd, unix.Bind(fd, to)
}

// echoDatagrams sends each datagram back. What cannot be sent is lost, as datagrams are.
func echoDatagrams(fd int) {
	b := make([]byte, maxDatagram)
	for {
		if n, from, err := unix.Recvfrom(fd, b, 0); err == nil {
			_ = unix.Sendto(fd, b[:n], 0, from)
		}
	}
}

func acceptStreams(fd int) {
	free := make(chan struct{}, maxConnections)
	for {
		free <- struct{}{}
		s, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		if err != nil {
			<-free
			continue
		}
		go func() {
			echoStream(s)
			unix.Close(s)
			<-free
		}()
	}
}

// echoStream sends everything back until the other side ends or fails.
func echoStream(fd int) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	b := make([]byte, streamBuffer)
	for {
		n, err := unix.Read(fd, b)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n <= 0 || err != nil {
			return
		}
		for rest := b[:n]; len(rest) > 0; {
			n, err := unix.Write(fd, rest)
			if err != nil && !errors.Is(err, unix.EINTR) {
				return
			}
			rest = rest[max(n, 0):]
		}
	}
}
