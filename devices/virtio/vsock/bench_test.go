package vsock_test

import (
	"io"
	"testing"

	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

// chunk is how much a program reads and writes at a time, in bytes.
const chunk = 64 << 10

func discard(r io.Reader) {
	p := make([]byte, chunk)
	for err := error(nil); err == nil; {
		_, err = r.Read(p)
	}
}

func produce(w io.Writer) {
	p := make([]byte, chunk)
	for err := error(nil); err == nil; {
		_, err = w.Write(p)
	}
}

// BenchmarkSocketPair is what a program gets from another without a device between.
func BenchmarkSocketPair(b *testing.B) {
	end, program := socketpair(b)
	defer end.Close()
	go discard(program)
	p := make([]byte, chunk)
	b.SetBytes(chunk)
	for b.Loop() {
		if _, err := end.Write(p); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkToHost is a guest that sends packets of 32 KiB as its credit allows,
// the fake driver's work included.
func BenchmarkToHost(b *testing.B) {
	p := newPrograms(b)
	g := boot(b, device(b, p, nil), virtiotest.Options{Unchecked: true})
	go discard(g.connect(p))
	rx, tx := g.Queue(receiveQueue), g.Queue(transmitQueue)
	message := packet{Op: data, Src: 1000, Dst: 52, Alloc: 1 << 20, Data: string(make([]byte, chunk/2))}.encode()
	var sent, forwarded uint32
	b.SetBytes(chunk)
	for b.Loop() {
		for range 2 {
			for r := rx.Poll(); r != nil || window-(sent-forwarded) < chunk/2; r = rx.Poll() {
				if r == nil {
					r = rx.Next()
				}
				forwarded = decode(b, r.Written).Forwarded
				g.refill()
			}
			tx.Send([][]byte{message})
			sent += chunk / 2
			for tx.Poll() != nil {
			}
		}
	}
}

// BenchmarkToGuest is a guest that receives into buffers as Linux has them, the
// fake driver's work included, that of noting each dirty byte too.
func BenchmarkToGuest(b *testing.B) {
	p := newPrograms(b)
	g := boot(b, device(b, p, nil), virtiotest.Options{Unchecked: true})
	go produce(g.connect(p))
	rx, tx := g.Queue(receiveQueue), g.Queue(transmitQueue)
	var got, told uint32
	b.SetBytes(chunk)
	for b.Loop() {
		for end := got + chunk; got < end; {
			for r := rx.Next(); r != nil; r = rx.Poll() {
				got += uint32(len(r.Written) - headerSize)
			}
			g.refill()
			for tx.Poll() != nil {
			}
			if got-told > 256<<10 {
				told = got
				tx.Send([][]byte{packet{Op: creditUpdate, Src: 1000, Dst: 52, Alloc: 1 << 20, Forwarded: got}.encode()})
			}
		}
	}
}
