package drive

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/lab"
)

// echoPort answers with what it was sent.
const echoPort = 7

const (
	echoSize  = 256                  // bytes of one message
	echoPause = 2 * time.Millisecond // between two messages
	udpWithin = time.Second          // for one answer; then the packet counts as lost, which is no error
	tcpWithin = 30 * time.Second     // for one answer: what is lost is sent again, after ever longer pauses
)

// Echo talks to a guest that answers with what it was told, for as long as the
// guest travels. A wrong answer is an error; one that does not come, or a guest that does not answer to ARP, is none
// with UDP. With TCP so is the end of the
// connection.
type Echo struct {
	conn     net.Conn
	quit     chan struct{}
	ended    chan struct{} // closed when the talk is over; err is set then
	err      error
	answered atomic.Uint64
}

// StartEcho begins to talk from a host to a guest, over udp or tcp.
func StartEcho(from *lab.Host, network string, guest netip.Addr) (*Echo, error) {
	e := &Echo{quit: make(chan struct{}), ended: make(chan struct{})}
	err := from.Do(func() (err error) {
		d := net.Dialer{Timeout: tcpWithin}
		e.conn, err = d.Dial(network, netip.AddrPortFrom(guest, echoPort).String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("drive: reach the guest: %w", err)
	}
	exchange := e.tcp
	if network == "udp" {
		exchange = e.udp
	}
	go func() {
		defer close(e.ended)
		e.err = e.talk(exchange)
	}()
	return e, nil
}

// talk sends one message after another.
func (e *Echo) talk(exchange func(message, got []byte, n uint64) error) error {
	message, got := make([]byte, echoSize), make([]byte, 8*echoSize)
	for n := uint64(1); ; n++ {
		select {
		case <-e.quit:
			return nil
		case <-time.After(echoPause):
		}
		for i := range message {
			message[i] = byte(n) + byte(i)
		}
		binary.LittleEndian.PutUint64(message, n)
		if _, err := e.conn.Write(message); err != nil && !errors.Is(err, unix.EHOSTUNREACH) {
			return err
		}
		if err := exchange(message, got, n); err != nil {
			return err
		}
	}
}

// tcp wants the next bytes of the stream to be the message.
func (e *Echo) tcp(message, got []byte, n uint64) error {
	_ = e.conn.SetReadDeadline(time.Now().Add(tcpWithin))
	if _, err := io.ReadFull(e.conn, got[:len(message)]); err != nil {
		return fmt.Errorf("answer %d: %w", n, err)
	}
	return e.check(message, got[:len(message)])
}

// udp wants an answer to be that to this message, or to one that was given up.
func (e *Echo) udp(message, got []byte, n uint64) error {
	_ = e.conn.SetReadDeadline(time.Now().Add(udpWithin))
	for {
		size, err := e.conn.Read(got)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, unix.EHOSTUNREACH):
			return nil
		case err != nil:
			return err
		case size == len(message) && binary.LittleEndian.Uint64(got) < n:
			continue
		}
		return e.check(message, got[:size])
	}
}

func (e *Echo) check(message, got []byte) error {
	if !bytes.Equal(got, message) {
		return fmt.Errorf("got answer %x; want %x", got, message)
	}
	e.answered.Add(1)
	return nil
}

// Answered is how many messages came back.
func (e *Echo) Answered() uint64 { return e.answered.Load() }

// Await waits for some answers from now on.
func (e *Echo) Await(ctx context.Context) error {
	const some = 10
	want := e.Answered() + some
	tick := time.NewTicker(echoPause)
	defer tick.Stop()
	for e.Answered() < want {
		select {
		case <-e.ended:
			return fmt.Errorf("drive: the echo ended after %d answers: %w", e.Answered(), e.err)
		case <-ctx.Done():
			return fmt.Errorf("drive: got %d answers; want %d: %w", e.Answered(), want, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// Stop ends the talk, and says what was wrong.
func (e *Echo) Stop() error {
	close(e.quit)
	select {
	case <-e.ended:
	default:
		_ = e.conn.SetReadDeadline(time.Now().Add(udpWithin)) // an answer that still comes is heard
		<-e.ended
	}
	e.conn.Close()
	if errors.Is(e.err, os.ErrDeadlineExceeded) {
		return nil // cut off by us
	}
	return e.err
}
