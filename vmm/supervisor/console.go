package supervisor

import (
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// Console says where the guest's serial console goes.
type Console struct {
	Kind string // stdio, none, unix or file
	Path string // of the unix socket or the file
}

// ParseConsole reads stdio, none, unix:PATH or file:PATH.
func ParseConsole(s string) (Console, error) {
	kind, path, has := strings.Cut(s, ":")
	switch {
	case !has && (kind == "stdio" || kind == "none"):
		return Console{Kind: kind}, nil
	case has && (kind == "unix" || kind == "file") && path != "":
		return Console{Kind: kind, Path: path}, nil
	}
	return Console{}, api.Errorf(api.CodeUsage, "use stdio, none, unix:PATH or file:PATH", "console %q is not known", s)
}

func (c Console) String() string {
	if c.Path == "" {
		return c.Kind
	}
	return c.Kind + ":" + c.Path
}

// consoleEnds is an opened console: what the machine gets, and what the
// supervisor does beside it.
type consoleEnds struct {
	in, out  *os.File // handed to the machine; nil: none
	listener net.Listener
	terminal *terminal
	socket   string
}

// open opens the console before the guest exists, so that a path that cannot
// be used fails the start.
func (c Console) open() (*consoleEnds, error) {
	switch c.Kind {
	case "", "none":
		return &consoleEnds{}, nil
	case "file":
		f, err := openOutput(c.Path)
		if err != nil {
			return nil, api.Errorf("console", "choose a file that you may write", "console: %v", err)
		}
		return &consoleEnds{out: f}, nil
	case "unix":
		l, err := net.Listen("unix", c.Path)
		if err != nil {
			return nil, api.Errorf("console", freePath, "console: %v", err)
		}
		return &consoleEnds{listener: l, socket: c.Path}, nil
	case "stdio":
		return openStdio()
	}
	return nil, fmt.Errorf("console kind %q", c.Kind)
}

// openOutput opens a file to write to. A pipe that nobody reads would hold us up, and the guest's console later.
func openOutput(path string) (*os.File, error) {
	if st, err := os.Stat(path); err == nil && st.Mode().Type() == os.ModeNamedPipe {
		return nil, fmt.Errorf("%s is a pipe", path)
	}
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND|unix.O_CLOEXEC, 0o600)
}

// openStdio duplicates standard input and output for the machine. A terminal's
// input goes through the supervisor, which watches for the key to leave.
func openStdio() (*consoleEnds, error) {
	out, err := dup(os.Stdout)
	if err != nil {
		return nil, err
	}
	e := &consoleEnds{out: out}
	t, in, err := openTerminal()
	if err != nil {
		out.Close()
		return nil, err
	}
	if t != nil {
		e.terminal, e.in = t, in
		return e, nil
	}
	e.in, err = dup(os.Stdin)
	if err != nil {
		out.Close()
		return nil, err
	}
	return e, nil
}

func dup(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicating %s: %w", f.Name(), err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// hand adds copies of the console's files to those for the machine, in these
// roles: a receiver may need them for another attempt.
func (e *consoleEnds) hand(h *handOver, in, out string) error {
	for _, f := range []struct {
		role string
		file *os.File
	}{{in, e.in}, {out, e.out}} {
		if f.file == nil {
			continue
		}
		c, err := dup(f.file)
		if err != nil {
			return err
		}
		h.add(f.role, c)
	}
	return nil
}

// serve hands each connection of a console socket to the machine.
func (e *consoleEnds) serve(attach func(*os.File) error) {
	if e.listener == nil {
		return
	}
	go func() {
		for {
			conn, err := e.listener.Accept()
			if err != nil {
				return
			}
			f, err := conn.(*net.UnixConn).File()
			conn.Close()
			if err != nil {
				continue
			}
			_ = attach(f) // no guest yet, or no more: the connection just closes
			f.Close()
		}
	}()
}

// handedOver closes our copies of what the machine has now: they would keep
// the reader of the console from seeing its end.
func (e *consoleEnds) handedOver() {
	for _, f := range []**os.File{&e.in, &e.out} {
		if *f != nil {
			(*f).Close()
			*f = nil
		}
	}
}

// close ends what serve does, restores the terminal and removes the socket.
func (e *consoleEnds) close() {
	if e == nil {
		return
	}
	if e.listener != nil {
		e.listener.Close()
	}
	e.terminal.close()
	e.handedOver()
}
