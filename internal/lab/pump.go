package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// pumpPiece, in bytes, is how much a pump moves with one system call.
const pumpPiece = 1 << 20

// Pumped is what a pump measured.
type Pumped struct {
	Bytes uint64
	Took  time.Duration // first byte sent to the last one received, and placed
}

// BitsPerSecond is the rate, 0 when nothing was measured.
func (p Pumped) BitsPerSecond() float64 {
	if p.Took <= 0 {
		return 0
	}
	return float64(p.Bytes) * 8 / p.Took.Seconds()
}

// Pump sends size bytes over some TCP streams at once from host to host and measures how long that takes until sink has them. size is rounded up to
// whole MiB for each stream.
func Pump(from, to *Host, size uint64, streams int, sink Sink) (Pumped, error) {
	return PumpOver(from, to, size, streams, sink, nil)
}

// Wrap makes other connections of the two ends of one.
type Wrap func(sender, receiver net.Conn) (net.Conn, net.Conn, error)

// PumpOver is Pump through what wrap makes of each connection before the time is taken, nil: nothing.
func PumpOver(from, to *Host, size uint64, streams int, sink Sink, wrap Wrap) (_ Pumped, err error) {
	l, err := to.Listen(":0")
	if err != nil {
		return Pumped{}, err
	}
	defer l.Close()
	var senders, receivers []net.Conn
	defer func() {
		for _, c := range append(senders, receivers...) {
			c.Close()
		}
	}()
	for range streams {
		c, err := from.Dial(context.Background(), l.Addr().String())
		if err != nil {
			return Pumped{}, err
		}
		senders = append(senders, c)
		s, err := l.Accept()
		if err != nil {
			return Pumped{}, err
		}
		receivers = append(receivers, s)
	}
	for i := range senders {
		if wrap == nil {
			break
		}
		if senders[i], receivers[i], err = wrap(senders[i], receivers[i]); err != nil {
			return Pumped{}, err
		}
	}
	each := uint64(pumpPiece * streams)
	return pump(senders, receivers, (size+each-1)/each, sink)
}

// pump moves that many pieces over each stream.
func pump(senders, receivers []net.Conn, pieces uint64, sink Sink) (_ Pumped, err error) {
	var drains []drain
	defer func() {
		for _, d := range drains {
			err = errors.Join(err, d.close())
		}
	}()
	for range receivers {
		d, err := sink.open(pieces)
		if err != nil {
			return Pumped{}, err
		}
		drains = append(drains, d)
	}
	ends := make(chan error, 2*len(senders))
	start := time.Now()
	for i := range senders {
		go func() { ends <- pour(senders[i], pieces) }()
		go func() {
			err := swallow(receivers[i], drains[i], pieces)
			if err != nil {
				senders[i].Close() // or it would send for ever
			}
			ends <- err
		}()
	}
	for range cap(ends) {
		err = errors.Join(err, <-ends)
	}
	if err != nil {
		return Pumped{}, fmt.Errorf("lab: pump: %w", err)
	}
	return Pumped{Bytes: uint64(len(senders)) * pieces * pumpPiece, Took: time.Since(start)}, nil
}

// pour sends the same piece again and again.
func pour(c net.Conn, pieces uint64) error {
	piece := make([]byte, pumpPiece)
	for i := range piece {
		piece[i] = byte(i)
	}
	for range pieces {
		if _, err := c.Write(piece); err != nil {
			return err
		}
	}
	return nil
}

// swallow receives pieces into where the drain wants them.
func swallow(s net.Conn, d drain, pieces uint64) error {
	for i := range pieces {
		into, err := d.room(i)
		if err != nil {
			return err
		}
		if _, err := io.ReadFull(s, into); err != nil {
			return err
		}
		if err := d.place(into, i); err != nil {
			return err
		}
	}
	return nil
}
