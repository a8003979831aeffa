package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/tests/drive"
)

// lookEvery is how often what other processes do is looked at.
const lookEvery = 20 * time.Millisecond

// until looks again and again until a condition of another process holds.
func until(ctx context.Context, every time.Duration, what string, holds func() (bool, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		ok, err := holds()
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if ok {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		}
	}
}

// killOn kills the processes of one host that a fault names, and returns when they
// are dead. A machine that is just being started is waited for.
func killOn(ctx context.Context, p *drive.Process, f fault) error {
	var victims []int
	if f.machine {
		err := until(ctx, lookEvery, "there is a machine to be killed", func() (bool, error) {
			pids, err := p.Machines()
			victims = pids
			return len(pids) > 0, err
		})
		if err != nil {
			return err
		}
	}
	if f.supervisor { // first: it would notice
		victims = append([]int{p.PID()}, victims...)
	}
	var fds []int
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	for _, pid := range victims {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			return fmt.Errorf("kill process %d: %w", pid, err)
		}
		fds = append(fds, fd)
	}
	for _, fd := range fds {
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
			return fmt.Errorf("kill: %w", err)
		}
	}
	for _, fd := range fds {
		for {
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
			if err == nil {
				break
			}
			if !errors.Is(err, unix.EINTR) {
				return fmt.Errorf("wait for a killed process: %w", err)
			}
		}
	}
	return nil
}
