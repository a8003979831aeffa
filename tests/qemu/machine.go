package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// Machine is a running QEMU. Its serial line comes out of Serial.
type Machine struct {
	*Monitor

	// Serial is the guest's serial line. It ends with QEMU.
	Serial io.Reader

	cmd    *exec.Cmd
	stderr bytes.Buffer // read it after exited is closed
	serial *os.File
	stdin  *os.File
	exited chan struct{}
}

// Start starts a machine. The guest's serial line is QEMU's stdout, so no file
// is made; the monitor is an inherited socket.
func Start(ctx context.Context, c Config) (*Machine, error) {
	m := &Machine{exited: make(chan struct{})}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	var serialW, stdinR *os.File
	if m.serial, serialW, err = os.Pipe(); err != nil {
		ours.Close()
		return nil, err
	}
	defer serialW.Close()
	// An input that never ends: at an end QEMU would close the serial line.
	if stdinR, m.stdin, err = os.Pipe(); err != nil {
		ours.Close()
		m.serial.Close()
		return nil, err
	}
	defer stdinR.Close()
	m.Serial = m.serial

	m.cmd = exec.Command(c.Binary.Path, append(c.Arguments(), c.monitor()...)...)
	m.cmd.Stdin, m.cmd.Stdout, m.cmd.Stderr = stdinR, serialW, &m.stderr
	m.cmd.ExtraFiles = []*os.File{theirs} // monitorFD
	// A session of its own, as Ferry's machines have: where the kernel shares out CPUs by session (autogroup), a guest
	// that shares one with who sends it packets has another part of them.
	m.cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	start := m.cmd.Start
	if c.Host != nil {
		start = func() error { return c.Host.Start(m.cmd) }
	}
	if err := start(); err != nil {
		ours.Close()
		m.serial.Close()
		m.stdin.Close()
		return nil, fmt.Errorf("qemu: start: %w", err)
	}
	theirs.Close() // so that our end learns of QEMU's end
	go func() {
		_ = m.cmd.Wait() // its reason, if any, is in stderr
		close(m.exited)
	}()
	if m.Monitor, err = NewMonitor(ctx, ours); err != nil {
		killed := m.kill()
		return nil, errors.Join(fmt.Errorf("qemu: did not start: %w: %s", err, bytes.TrimSpace(m.stderr.Bytes())), killed)
	}
	return m, nil
}

// PID is QEMU's process.
func (m *Machine) PID() int { return m.cmd.Process.Pid }

// Close kills QEMU and waits for its end.
func (m *Machine) Close() error {
	m.Monitor.Close()
	return m.kill()
}

// kill ends the process. The serial line stays readable to its end, and
// closes itself there only by its reader's call: it is closed here.
func (m *Machine) kill() error {
	err := m.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-m.exited
	return errors.Join(err, m.stdin.Close(), m.serial.Close())
}

// socketPair returns a connection and the other end as a file to inherit.
func socketPair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("qemu: make the monitor's socket: %w", err)
	}
	f := os.NewFile(uintptr(fds[0]), "qmp")
	defer f.Close()
	theirs := os.NewFile(uintptr(fds[1]), "qmp-peer")
	ours, err := net.FileConn(f)
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("qemu: use the monitor's socket: %w", err)
	}
	return ours, theirs, nil
}
