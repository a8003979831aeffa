// Package rawterm puts a terminal in the mode that a guest's console needs:
// every key goes through as it is, while what is written is still shown as
// usual, so that a guest that ends its lines with a bare newline is readable.
package rawterm

import (
	"fmt"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Is tells whether fd is a terminal.
func Is(fd int) bool { return term.IsTerminal(fd) }

// Make changes the terminal fd and returns what changes it back.
func Make(fd int) (restore func(), err error) {
	old, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("set up the terminal: %w", err)
	}
	restore = func() { _ = term.Restore(fd, old) } // fails only for a terminal that went away
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err == nil {
		t.Oflag |= unix.OPOST
		err = unix.IoctlSetTermios(fd, unix.TCSETS, t)
	}
	if err != nil {
		restore()
		return nil, fmt.Errorf("set up the terminal: %w", err)
	}
	return restore, nil
}
