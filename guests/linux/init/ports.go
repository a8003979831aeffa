package main

import "golang.org/x/sys/unix"

// Ports that a VMM offers for guests that check it (ARCHITECTURE.md, devices/ready, testdev and power). Writing to
// one that is absent does nothing; reading it gives all ones.
const (
	readyPort   = 0x3f0
	byteReady   = 0x01
	byteWrong   = 0xc0
	controlPort = 0x3f2
	stopAsked   = 0x01 // of controlPort
	sleepPort   = 0x600
	byteSleep   = 5<<2 | 1<<5 // ACPI 6.5, 4.8.3.7: SLP_TYP 5, SLP_EN
	absent      = 0xff
)

// ports is the machine's port space, by /dev/port: an open file, or -1.
type ports int

func openPorts() ports {
	fd, err := unix.Open("/dev/port", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return ports(fd)
}

func (p ports) out(port int64, b byte) { _, _ = unix.Pwrite(int(p), []byte{b}, port) }

func (p ports) in(port int64) byte {
	b := []byte{absent}
	_, _ = unix.Pread(int(p), b, port)
	return b[0]
}
