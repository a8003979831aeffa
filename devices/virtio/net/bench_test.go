package net_test

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/net"
	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/netmig/link"
)

// benchPackets is how many packets make a round of a benchmark.
const benchPackets = 2048

// BenchmarkReceive empties a full tap: by the device, and by the shortest loop
// of read, which is the limit. BenchmarkTransmit does the same the other way.
// Both take turns in one thread, whose processor time is what counts.
func BenchmarkReceive(b *testing.B) {
	for _, tso := range []bool{false, true} {
		for _, size := range []int{60, 1514} {
			b.Run(fmt.Sprintf("%d/tso=%v", size, tso), func(b *testing.B) { benchReceive(b, size, tso) })
		}
	}
}

func benchReceive(b *testing.B, size int, tso bool) {
	p, tap := openBench(b)
	if err := netlink.LinkSetTxQLen(tap, benchPackets+64); err != nil {
		b.Fatal(err)
	}
	w := &wire{t: b, tap: tap}
	fd := w.capture()
	frame := stray(size)[vnetSize-10:]
	pour := func() {
		for range benchPackets {
			if _, err := unix.Write(fd, frame); err != nil {
				b.Fatal(err)
			}
		}
	}
	features := uint64(mergeable)
	if tso {
		features |= guestCsum | guestTSO4
	}
	r := newRecycler(b, features, true, 1536)
	dev := newBench(b, p)
	step, count := dev.Receive(r.queue, r.driver)
	bufs := make([]byte, benchQueue*benchStride) // as many as the device has: all in one would stay in the cache
	compare(b, pour, func() {
		for until := count() + benchPackets; count() < until; r.turn() {
			step()
		}
	}, func() {
		for i := range benchPackets {
			if _, err := unix.Read(int(p.Queues[0].Fd()), bufs[i%benchQueue*benchStride:][:benchStride]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkTransmit(b *testing.B) {
	for _, size := range []int{60, 1514} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			p, _ := openBench(b)
			r := newRecycler(b, 0, false, vnetSize+size)
			frame := stray(size)
			for i := range benchQueue {
				copy(r.buffer(i), frame)
			}
			dev := newBench(b, p)
			var c virtio.Chain
			compare(b, func() {}, func() {
				for n := 0; n < benchPackets; r.turn() {
					for ; ; n++ {
						ok, err := r.queue.Pop(&c)
						if err != nil {
							b.Fatal(err)
						}
						if !ok {
							break
						}
						if _, err := dev.Send(&c); err != nil {
							b.Fatal(err)
						}
						r.queue.Push(&c, 0)
					}
					r.queue.Publish()
				}
			}, func() {
				for i := range benchPackets {
					if _, err := unix.Write(int(p.Queues[0].Fd()), r.buffer(i%benchQueue)); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// compare runs the device and the limit in turns and reports what a packet costs each.
func compare(b *testing.B, before, device, limit func()) {
	var spent [2]time.Duration
	for b.Loop() {
		for i, run := range []func(){device, limit} {
			before()
			start := threadTime(b)
			run()
			spent[i] += threadTime(b) - start
		}
	}
	packets := float64(b.N * benchPackets)
	b.ReportMetric(float64(spent[0])/packets, "device-ns/packet")
	b.ReportMetric(float64(spent[1])/packets, "limit-ns/packet")
	b.ReportMetric(float64(spent[1])/float64(spent[0]), "of-limit")
}

// threadTime is the processor time of this thread, on which the test is locked.
func threadTime(b *testing.B) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// openBench makes a tap in a namespace.
func openBench(b *testing.B) (*link.Port, netlink.Link) {
	b.Helper()
	enterHost(b)
	p, err := link.Open(netmig.Attachment{Tap: "guest"}, netmig.Spec{ID: "eth"}.NIC(), "")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { p.Close() })
	tap, err := netlink.LinkByName(p.Tap)
	if err != nil {
		b.Fatal(err)
	}
	return p, tap
}

func newBench(b *testing.B, p *link.Port) *net.Bench {
	b.Helper()
	f := files(b, p)[0]
	b.Cleanup(func() { f.Close() })
	dev, err := net.NewBench(f)
	if err != nil {
		b.Fatal(err)
	}
	return dev
}

// stray is a frame to an address that nobody has, behind an empty header.
func stray(size int) []byte {
	p := make([]byte, vnetSize+size)
	copy(p[vnetSize:], []byte{2, 9, 9, 9, 9, 9, 2, 9, 9, 9, 9, 8, 0x88, 0xb5})
	return p
}

// flat is guest memory that does nothing but be there.
type flat []byte

func (m flat) View(gpa, size uint64) ([]byte, error) { return m[gpa:][:size:size], nil }
func (m flat) Check(gpa, size uint64) error          { return nil }
func (m flat) MarkDirty(gpa, size uint64)            {}

// benchQueue is the number of descriptors, one to a chain.
const benchQueue = 256

// recycler is the fastest driver there can be: it gives back what was used, as
// it is, on the device's own thread.
type recycler struct {
	mem        flat
	size       int
	queue      *virtio.Queue
	driver     virtio.Driver
	next, seen uint16
}

// Where things are in the recycler's memory.
const (
	benchAvail   = 0x2000
	benchUsed    = 0x3000
	benchBuffers = 0x10000
	benchStride  = 2048
)

func newRecycler(b *testing.B, features uint64, write bool, size int) *recycler {
	b.Helper()
	r := &recycler{mem: make(flat, benchBuffers+benchQueue*benchStride), size: size, next: benchQueue}
	for i := range benchQueue {
		d := r.mem[i*16:]
		binary.LittleEndian.PutUint64(d, uint64(benchBuffers+i*benchStride))
		binary.LittleEndian.PutUint32(d[8:], uint32(size))
		if write {
			d[12] = 2
		}
		binary.LittleEndian.PutUint16(r.mem[benchAvail+4+2*i:], uint16(i))
	}
	binary.LittleEndian.PutUint16(r.mem[benchAvail+2:], r.next)
	kick, err := virtio.NewKick()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { kick.Close() })
	s := virtio.QueueState{Size: benchQueue, Ready: true, Avail: benchAvail, Use: benchUsed}
	if r.queue, err = virtio.NewQueue(r.mem, s, features, kick, func() {}); err != nil {
		b.Fatal(err)
	}
	r.driver = virtio.Driver{Features: features, Transport: noTransport{b}}
	return r
}

func (r *recycler) buffer(i int) []byte { return r.mem[benchBuffers+i*benchStride:][:r.size] }

// turn gives back what was used.
func (r *recycler) turn() {
	for used := binary.LittleEndian.Uint16(r.mem[benchUsed+2:]); r.seen != used; r.seen++ {
		copy(r.mem[benchAvail+4+2*int(r.next%benchQueue):][:2], r.mem[benchUsed+4+8*int(r.seen%benchQueue):][:2])
		r.next++
	}
	binary.LittleEndian.PutUint16(r.mem[benchAvail+2:], r.next)
}

// noTransport is for a driver that makes no mistakes.
type noTransport struct{ b *testing.B }

func (noTransport) ConfigChanged()   {}
func (t noTransport) Fail(err error) { t.b.Error(err) }
