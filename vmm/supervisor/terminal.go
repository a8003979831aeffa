package supervisor

import (
	"bytes"
	"fmt"
	"os"

	"github.com/ferryvmm/ferry/internal/rawterm"
)

// detachKey (Ctrl-]) at a foreground terminal ends the guest politely; every
// other key goes to the guest.
const detachKey = 0x1d

// terminal is standard input in raw mode, copied to a pipe of the machine.
type terminal struct {
	restore func()
	pipe    *os.File
	// quit is closed when the person asks for the end.
	quit chan struct{}
}

// openTerminal puts standard input, if it is a terminal, in raw mode. It
// returns nil if it is none.
func openTerminal() (*terminal, *os.File, error) {
	fd := int(os.Stdin.Fd())
	if !rawterm.Is(fd) {
		return nil, nil, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("pipe: %w", err)
	}
	restore, err := rawterm.Make(fd)
	if err != nil {
		r.Close()
		w.Close()
		return nil, nil, err
	}
	t := &terminal{restore: restore, pipe: w, quit: make(chan struct{})}
	fmt.Fprint(os.Stderr, "console: Ctrl-] stops the guest\n")
	go t.copy()
	return t, r, nil
}

func (t *terminal) copy() {
	buf := make([]byte, 1024)
	for {
		n, err := os.Stdin.Read(buf)
		if i := bytes.IndexByte(buf[:n], detachKey); i >= 0 {
			close(t.quit)
			return
		}
		if n > 0 {
			if _, err := t.pipe.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// asked is closed when the person pressed the key; nil without a terminal.
func (t *terminal) asked() <-chan struct{} {
	if t == nil {
		return nil
	}
	return t.quit
}

func (t *terminal) close() {
	if t == nil {
		return
	}
	t.restore()
	t.pipe.Close()
}
