package main

import (
	"encoding/binary"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// ending says how the guest ends.
type ending int

const (
	powerOff ending = iota
	restart
)

// askEvery is how often the VMM's wish is looked at.
const askEvery = 250 * time.Millisecond

// stopper waits for someone who wants the guest to end.
type stopper struct {
	signals chan os.Signal
	asked   chan ending
}

func newStopper(p ports) *stopper {
	s := &stopper{signals: make(chan os.Signal, 1), asked: make(chan ending)}
	// What busybox's poweroff, halt and reboot send, and the kernel after Ctrl-Alt-Del.
	signal.Notify(s.signals, unix.SIGUSR2, unix.SIGUSR1, unix.SIGPWR, unix.SIGTERM, unix.SIGINT)
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF)
	go s.poll(p)
	s.watchButtons()
	return s
}

// wait returns when the guest is to end.
func (s *stopper) wait() ending {
	select {
	case sig := <-s.signals:
		if sig == unix.SIGTERM || sig == unix.SIGINT {
			return restart
		}
		return powerOff
	case how := <-s.asked:
		return how
	}
}

// poll looks at the VMM's wish, where there is a VMM that has one.
func (s *stopper) poll(p ports) {
	for b := p.in(controlPort); b != absent; b = p.in(controlPort) {
		if b&stopAsked != 0 {
			s.asked <- powerOff
			return
		}
		time.Sleep(askEvery)
	}
}

// watchButtons waits for a key named power on every input device.
func (s *stopper) watchButtons() {
	devices, _ := filepath.Glob("/dev/input/event*")
	for _, path := range devices {
		if f, err := os.Open(path); err == nil {
			go s.watchButton(f)
		}
	}
}

// An input event: time (16 bytes), type, code, value; linux/input.h.
const (
	eventSize = 24
	typeKey   = 1
	keyPower  = 116
	pressed   = 1
)

func (s *stopper) watchButton(f *os.File) {
	var b [eventSize]byte
	for {
		if n, err := f.Read(b[:]); err != nil || n != eventSize {
			return
		}
		if powerPressed(b) {
			s.asked <- powerOff
		}
	}
}

func powerPressed(b [eventSize]byte) bool {
	le := binary.LittleEndian
	return le.Uint16(b[16:]) == typeKey && le.Uint16(b[18:]) == keyPower && le.Uint32(b[20:]) == pressed
}

// end ends the guest. It does not return.
func end(how ending, p ports) {
	unix.Sync()
	if how == powerOff {
		if _, err := os.Stat("/sys/firmware/acpi"); err == nil {
			_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
		}
		// A kernel without ACPI does not know how, and would halt for ever.
		p.out(sleepPort, byteSleep)
	}
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	select {}
}
