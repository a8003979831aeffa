package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"time"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/internal/uffd"
	"golang.org/x/sys/unix"
)

// The messages of a fault: a header and an address there, a header, a run and a page back.
const (
	askBytes    = 40
	answerBytes = 32 + 20 + guestmem.PageSize
	limitRounds = 4096 // 16 MiB, the least memory
)

// limit is what a fault takes at least, on a link with nothing else on it: medians, in us.
type limit struct {
	RoundTripUS float64 `json:"round_trip_us"` // of both messages, both ends blocked in read(2)
	PlaceUS     float64 `json:"copy_and_continue_us"`
}

func (l *limit) total() float64 { return l.RoundTripUS + l.PlaceUS }

// measureLimit asks for pages and places them, and does nothing else.
func measureLimit(ctx context.Context, r ride) (_ *limit, err error) {
	net, err := lab.New(2)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	if err := r.shaped(net.Hosts); err != nil {
		return nil, err
	}
	asker, answerer, err := dialPair(ctx, net.Hosts)
	if err != nil {
		return nil, err
	}
	answered := make(chan error, 1)
	go func() { answered <- answerAll(answerer) }()
	l, err := askAll(asker)
	return l, errors.Join(err, unix.Close(asker), <-answered, unix.Close(answerer))
}

// dialPair connects two hosts by blocking sockets.
func dialPair(ctx context.Context, hosts []*lab.Host) (asker, answerer int, err error) {
	listener, err := hosts[1].Listen(":0")
	if err != nil {
		return -1, -1, err
	}
	defer listener.Close()
	from, err := hosts[0].Dial(ctx, listener.Addr().String())
	if err != nil {
		return -1, -1, err
	}
	defer from.Close()
	to, err := listener.Accept()
	if err != nil {
		return -1, -1, err
	}
	defer to.Close()
	if asker, err = blocking(from); err != nil {
		return -1, -1, err
	}
	if answerer, err = blocking(to); err != nil {
		return -1, -1, errors.Join(err, unix.Close(asker))
	}
	return asker, answerer, nil
}

// blocking duplicates a connection's socket: Go's own waits in epoll.
func blocking(c net.Conn) (fd int, err error) {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return -1, err
	}
	var dup error
	if err := raw.Control(func(s uintptr) { fd, dup = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return -1, err
	}
	if dup != nil {
		return -1, fmt.Errorf("duplicate a socket: %w", dup)
	}
	return fd, unix.SetNonblock(fd, false)
}

// socket reads whole messages.
type socket int

func (s socket) Read(b []byte) (int, error) {
	for {
		n, err := unix.Read(int(s), b)
		switch {
		case errors.Is(err, unix.EINTR):
		case n == 0 && err == nil:
			return 0, io.EOF
		default:
			return max(n, 0), err
		}
	}
}

func (s socket) write(b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(int(s), b)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		b = b[max(n, 0):]
	}
	return nil
}

func answerAll(fd int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ask, answer := make([]byte, askBytes), make([]byte, answerBytes)
	for {
		if _, err := io.ReadFull(socket(fd), ask); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := socket(fd).write(answer); err != nil {
			return err
		}
	}
}

func askAll(fd int) (_ *limit, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	memory, pull, err := openPull(limitRounds * guestmem.PageSize)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pull.Close(), memory.Close()) }()
	ask, answer := make([]byte, askBytes), make([]byte, answerBytes)
	var trips, places []float64
	for n := range uint64(limitRounds) {
		start := time.Now()
		if err := socket(fd).write(ask); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(socket(fd), answer); err != nil {
			return nil, err
		}
		came := time.Now()
		if _, err := pull.Fill(n*guestmem.PageSize, answer[answerBytes-guestmem.PageSize:]); err != nil {
			return nil, err
		}
		trips = append(trips, float64(came.Sub(start))/1e3)
		places = append(places, float64(time.Since(came))/1e3)
	}
	return &limit{RoundTripUS: median(trips), PlaceUS: median(places)}, nil
}

// openPull makes memory all of which is missing.
func openPull(size uint64) (*guestmem.Memory, *guestmem.Pull, error) {
	layout, err := guestmem.NewLayout(size)
	if err != nil {
		return nil, nil, err
	}
	device, err := uffd.Open()
	if err != nil {
		return nil, nil, err
	}
	defer device.Close()
	memory, err := guestmem.New(layout)
	if err != nil {
		return nil, nil, err
	}
	pull, err := memory.Pull(device)
	if err != nil {
		return nil, nil, errors.Join(err, memory.Close())
	}
	var all []guestmem.Range
	for _, r := range layout {
		all = append(all, guestmem.Range{GPA: r.GPA, Size: r.Size})
	}
	if err := pull.Miss(all); err != nil {
		return nil, nil, errors.Join(err, pull.Close(), memory.Close())
	}
	return memory, pull, nil
}
