package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

func (a *app) logsCommand() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use:               "logs NAME [flags]",
		Short:             "Show what the VMM, not the guest, logged about a machine",
		Args:              takes("NAME"),
		ValidArgsFunction: a.completeName,
		RunE: a.do(func(cmd *cobra.Command, args []string) error {
			if err := api.CheckName(args[0]); err != nil {
				return err
			}
			dir, err := a.dir()
			if err != nil {
				return err
			}
			file, err := os.Open(filepath.Join(dir, args[0]+".log"))
			if errors.Is(err, fs.ErrNotExist) {
				return api.Errorf(api.CodeNoSuchMachine, "vmm ps", "there is no log of a machine named %s in %s", args[0], dir)
			}
			if err != nil {
				return err
			}
			defer file.Close()
			if !follow {
				_, err := io.Copy(a.stdout, file)
				return err
			}
			ctx, stop := a.untilSignal(cmd.Context())
			defer stop()
			return a.follow(ctx, file, dir, args[0])
		}),
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the machine has ended")
	return cmd
}

// follow copies the file as it grows, until the machine's socket is gone or ctx ends.
func (a *app) follow(ctx context.Context, file *os.File, dir, name string) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watch the log: %w", err)
	}
	events := os.NewFile(uintptr(fd), "inotify")
	defer events.Close()
	defer context.AfterFunc(ctx, func() { events.Close() })()
	// The file by its descriptor's name: another machine may have taken NAME.log by now.
	if _, err := unix.InotifyAddWatch(fd, fmt.Sprintf("/proc/self/fd/%d", file.Fd()), unix.IN_MODIFY); err != nil {
		return fmt.Errorf("watch the log: %w", err)
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_DELETE|unix.IN_MOVED_FROM); err != nil {
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	buffer := make([]byte, 64<<10)
	for {
		// Whether the machine is gone is asked before the last lines are read, so that none is missed.
		_, gone := os.Lstat(filepath.Join(dir, name+".sock"))
		if _, err := io.Copy(a.stdout, file); err != nil {
			return err
		}
		if errors.Is(gone, fs.ErrNotExist) {
			return nil
		}
		// What happened does not matter, only that something did.
		if _, err := events.Read(buffer); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("watch the log: %w", err)
		}
	}
}
