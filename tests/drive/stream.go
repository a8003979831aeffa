package drive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/lab"
)

const (
	streamPiece = 1024 // bytes written at a time
	// streamBuffer is how much a slow guest lets pile up, in bytes.
	streamBuffer = 32 << 10
)

// Stream is a TCP connection to a guest that sends everything back: what is
// written does not wait for what comes. A byte that is wrong, or an end before
// its time, is an error.
type Stream struct {
	every   time.Duration // between two pieces
	conn    *net.TCPConn
	quit    chan struct{}
	group   sync.WaitGroup
	sent    atomic.Uint64 // bytes
	came    atomic.Uint64 // bytes
	changed chan struct{} // capacity 1: came has grown, or the stream has ended

	mu  sync.Mutex // guards err
	err error
}

// StartStream connects from a host to a guest, and writes a KiB every so often.
func StartStream(from *lab.Host, guest netip.Addr, every time.Duration) (*Stream, error) {
	s := &Stream{every: every, quit: make(chan struct{}), changed: make(chan struct{}, 1)}
	err := from.Do(func() error {
		d := net.Dialer{Timeout: tcpWithin}
		conn, err := d.Dial("tcp", netip.AddrPortFrom(guest, echoPort).String())
		if err == nil {
			s.conn = conn.(*net.TCPConn)
			err = s.conn.SetWriteBuffer(streamBuffer)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("drive: reach the guest: %w", err)
	}
	s.group.Go(s.write)
	s.group.Go(s.read)
	return s, nil
}

// pattern is the byte at an offset of the stream.
func pattern(offset uint64) byte { return byte(offset ^ offset>>8 ^ offset>>16) }

// write writes until it is told to stop, and then says so to the guest.
func (s *Stream) write() {
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	piece := make([]byte, streamPiece)
	for offset := uint64(0); ; {
		select {
		case <-s.quit:
			s.fail(s.conn.CloseWrite())
			return
		case <-tick.C:
		}
		for i := range piece {
			piece[i] = pattern(offset + uint64(i))
		}
		offset += streamPiece
		s.sent.Store(offset)
		if _, err := s.conn.Write(piece); err != nil {
			s.fail(err)
			return
		}
	}
}

// read compares what comes, until the guest ends the connection.
func (s *Stream) read() {
	defer s.notify()
	b := make([]byte, 16<<10)
	for offset := uint64(0); ; {
		n, err := s.conn.Read(b)
		for i, got := range b[:n] {
			if want := pattern(offset + uint64(i)); got != want {
				s.fail(fmt.Errorf("drive: byte %d of the stream: got %#x; want %#x", offset+uint64(i), got, want))
				return
			}
		}
		offset += uint64(n)
		s.came.Store(offset)
		s.notify()
		if err == nil {
			continue
		}
		select {
		case <-s.quit:
			if errors.Is(err, io.EOF) {
				return
			}
		default:
		}
		s.fail(err)
		return
	}
}

func (s *Stream) notify() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *Stream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = errors.Join(s.err, err)
}

func (s *Stream) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Await waits until everything that has been sent by now, and more, has come
// back. One caller at a time.
func (s *Stream) Await(ctx context.Context) error {
	for want := s.sent.Load() + 1; s.came.Load() < want; {
		select {
		case <-s.changed:
		case <-ctx.Done():
			return fmt.Errorf("drive: got %d bytes of the stream back; want %d: %w", s.came.Load(), want, context.Cause(ctx))
		}
		if err := s.failure(); err != nil {
			return fmt.Errorf("drive: the stream ended after %d bytes: %w", s.came.Load(), err)
		}
	}
	return nil
}

// Streamed is what became of a stream.
type Streamed struct {
	Bytes uint64 // sent, and come back
	// Retransmitted is how many segments the client sent again.
	Retransmitted uint32
}

// Stop ends the stream and fails unless all came back.
func (s *Stream) Stop() (Streamed, error) {
	close(s.quit)
	_ = s.conn.SetDeadline(time.Now().Add(tcpWithin))
	s.group.Wait()
	defer s.conn.Close()
	r := Streamed{Bytes: s.came.Load()}
	raw, err := s.conn.SyscallConn()
	if err == nil {
		var failed error
		err = raw.Control(func(fd uintptr) {
			info, infoErr := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
			if failed = infoErr; failed == nil {
				r.Retransmitted = info.Total_retrans
			}
		})
		err = errors.Join(err, failed)
	}
	if sent := s.sent.Load(); sent != r.Bytes {
		err = errors.Join(err, fmt.Errorf("drive: got %d bytes of the stream back; want the %d that were sent", r.Bytes, sent))
	}
	return r, errors.Join(err, s.failure())
}
