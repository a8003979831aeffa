package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// consoleOf serves a console; guest has its other end.
func consoleOf(t *testing.T, h *harness, guest func(net.Conn)) {
	t.Helper()
	h.serve("alpha", func(w http.ResponseWriter, r *http.Request) {
		conn, err := api.AcceptConsole(w, r)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		guest(conn)
	})
}

// terminal returns a pseudo-terminal: the person's end and the program's.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return person, program
}

func TestConsoleOnPipes(t *testing.T) {
	h := newHarness(t)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	h.app.stdin = read
	// On a pipe no key is special.
	if _, err := write.WriteString("up\x1dtime\n"); err != nil {
		t.Fatal(err)
	}
	write.Close()
	var typed string
	consoleOf(t, h, func(conn net.Conn) {
		buffer := make([]byte, 8)
		if _, err := io.ReadFull(conn, buffer); err != nil {
			t.Error(err)
		}
		typed = string(buffer)
		io.WriteString(conn, "up 3 days\n") //nolint:errcheck // the test fails for want of it
	})
	if got := h.run("console", "alpha"); got != exitOK {
		t.Errorf("got exit code %d (%s); want 0", got, h.stderr)
	}
	if typed != "up\x1dtime\n" {
		t.Errorf("got %q at the guest; want all of it", typed)
	}
	if got := h.stdout.String(); got != "up 3 days\n" {
		t.Errorf("got %q; want the guest's answer and nothing else", got)
	}
}

func TestConsoleOnTerminal(t *testing.T) {
	for name, leave := range map[string]func(h *harness, person *os.File, conn net.Conn){
		"key":       func(h *harness, person *os.File, conn net.Conn) { person.Write([]byte("\x1d")) }, //nolint:errcheck // else it hangs
		"guest end": func(h *harness, person *os.File, conn net.Conn) { conn.Close() },
		"signal":    func(h *harness, person *os.File, conn net.Conn) { h.sent <- unix.SIGTERM },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			person, program := terminal(t)
			h.app.stdin = program
			before, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			typed := make(chan string, 1)
			consoleOf(t, h, func(conn net.Conn) {
				during, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS)
				for ; err == nil && during.Lflag&unix.ICANON != 0; during, err = unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS) {
					// the attachment is answered before the terminal is raw
				}
				if err != nil {
					t.Error(err)
				}
				person.Write([]byte("a\x03")) //nolint:errcheck // else it hangs
				buffer := make([]byte, 2)
				if _, err := io.ReadFull(conn, buffer); err != nil {
					t.Error(err)
				}
				typed <- string(buffer)
				leave(h, person, conn)
				io.Copy(io.Discard, conn) //nolint:errcheck // until the other side leaves
			})
			if got := h.run("console", "alpha"); got != exitOK {
				t.Errorf("got exit code %d (%s); want 0", got, h.stderr)
			}
			if got := <-typed; got != "a\x03" {
				t.Errorf("got %q at the guest; want the letter and Ctrl-C", got)
			}
			after, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("the terminal was left changed (-before +after):\n%s", diff)
			}
			h.stderr.wait(t, "attached to alpha; Ctrl-] detaches")
			person.Close() // ends the read of what is typed
		})
	}
}
