package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/spf13/cobra"

	"github.com/ferryvmm/ferry/internal/rawterm"
)

// detachKey is Ctrl-], which ends an attachment. Ctrl-C and the others go to the guest.
const detachKey = 0x1d

func (a *app) consoleCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "console NAME",
		Short: "Attach to a guest's serial console; Ctrl-] detaches",
		Long: `Attach to a guest's serial console. Every key goes to the guest, except Ctrl-], which detaches; the guest goes
on. What the guest wrote before is not shown.`,
		Args:              takes("NAME"),
		ValidArgsFunction: a.completeName,
		RunE: a.do(func(cmd *cobra.Command, args []string) error {
			client, err := a.machine(args[0])
			if err != nil {
				return err
			}
			conn, err := client.Console(cmd.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			ctx, stop := a.untilSignal(cmd.Context())
			defer stop()
			return a.attach(ctx, args[0], conn)
		}),
	}
}

// errDetached says that the person pressed the key.
var errDetached = errors.New("detached")

// attach copies between the terminal and the console until one of them ends, the key is pressed, or ctx ends. It leaves
// the terminal as it was.
func (a *app) attach(ctx context.Context, name string, conn net.Conn) error {
	fd := int(a.stdin.Fd())
	terminal := rawterm.Is(fd)
	newline := "\n"
	restore := func() {}
	if terminal {
		a.note("attached to %s; Ctrl-] detaches", name)
		var err error
		if restore, err = rawterm.Make(fd); err != nil {
			return err
		}
		newline = "\r\n"
		defer restore()
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	typed := make(chan error, 1)
	go func() { // ends with the process at the latest: a read of a terminal cannot be interrupted
		err := copyTyped(conn, a.stdin, terminal)
		typed <- err
		if errors.Is(err, errDetached) {
			conn.Close()
		}
	}()
	_, err := io.Copy(a.stdout, conn)
	if terminal {
		io.WriteString(a.stdout, newline) //nolint:errcheck // only looks
	}
	restore()
	select {
	case err := <-typed:
		if errors.Is(err, errDetached) {
			a.note("detached from %s, which goes on", name)
			return nil
		}
	default:
	}
	switch {
	case ctx.Err() != nil:
		a.note("detached from %s, which goes on", name)
		return nil
	case err != nil && !errors.Is(err, net.ErrClosed):
		return fmt.Errorf("the console of %s broke off: %w", name, err)
	}
	a.note("the console of %s ended", name)
	return nil
}

// copyTyped copies what is typed to the guest, up to the key that detaches if keys are looked for.
func copyTyped(to io.Writer, from io.Reader, keys bool) error {
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		text := buffer[:n]
		at := -1
		if keys {
			at = bytes.IndexByte(text, detachKey)
		}
		if at >= 0 {
			text = text[:at]
		}
		if _, err := to.Write(text); err != nil {
			return err
		}
		switch {
		case at >= 0:
			return errDetached
		case err != nil:
			return err
		}
	}
}
