package lab

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// pumpPiece, in bytes, is how much a pump moves with one system call.
const pumpPiece = 1 << 20

// Sink is what the far end of a pump does with what arrives.
type Sink int

// Discard receives into one hot buffer: what the path carries. Place then
// writes into fresh pages of a memfd: what the path and the kernel's page
// allocation together allow, the limit of a migration.
const (
	Discard Sink = iota
	Place
)

// Pumped is what a pump measured.
type Pumped struct {
	Bytes uint64
	Took  time.Duration // first byte sent to the last one received
}

// BitsPerSecond is the rate, 0 when nothing was measured.
func (p Pumped) BitsPerSecond() float64 {
	if p.Took <= 0 {
		return 0
	}
	return float64(p.Bytes) * 8 / p.Took.Seconds()
}

// Pump sends size bytes over one TCP stream from host to host and measures
// how long that takes. size is rounded up to whole MiB.
func Pump(from, to *Host, size uint64, sink Sink) (Pumped, error) {
	l, err := to.Listen(":0")
	if err != nil {
		return Pumped{}, err
	}
	defer l.Close()
	var c net.Conn
	err = from.Do(func() (err error) {
		c, err = net.Dial("tcp", l.Addr().String())
		return err
	})
	if err != nil {
		return Pumped{}, err
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		return Pumped{}, err
	}
	defer s.Close()
	return pump(c, s, (size+pumpPiece-1)/pumpPiece, sink)
}

// pump moves that many pieces from c to s.
func pump(c, s net.Conn, pieces uint64, sink Sink) (Pumped, error) {
	var f *os.File
	if sink == Place {
		fd, err := unix.MemfdCreate("ferry-pump", unix.MFD_CLOEXEC)
		if err != nil {
			return Pumped{}, fmt.Errorf("lab: make a memfd to pump into: %w", err)
		}
		f = os.NewFile(uintptr(fd), "ferry-pump")
		defer f.Close()
		if err := f.Truncate(int64(pieces * pumpPiece)); err != nil {
			return Pumped{}, fmt.Errorf("lab: size the memfd to pump into: %w", err)
		}
	}
	sent := make(chan error, 1)
	start := time.Now()
	go func() {
		piece := make([]byte, pumpPiece)
		for i := range piece {
			piece[i] = byte(i)
		}
		for range pieces {
			if _, err := c.Write(piece); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	err := drain(s, f, pieces)
	if err != nil {
		c.Close() // or the sender would wait for ever
	}
	took := time.Since(start)
	if err := errors.Join(err, <-sent); err != nil {
		return Pumped{}, fmt.Errorf("lab: pump: %w", err)
	}
	return Pumped{Bytes: pieces * pumpPiece, Took: took}, nil
}

func drain(s net.Conn, into *os.File, pieces uint64) error {
	piece := make([]byte, pumpPiece)
	for i := range pieces {
		if _, err := io.ReadFull(s, piece); err != nil {
			return err
		}
		if into != nil {
			if _, err := into.WriteAt(piece, int64(i*pumpPiece)); err != nil {
				return err
			}
		}
	}
	return nil
}
