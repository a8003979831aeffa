package blk_test

import (
	"encoding/binary"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/blk"
	"github.com/ferryvmm/ferry/guestmem"
)

// Where a poller has what it needs, and how much of it.
const (
	pollQueue   = 256
	pollDesc    = 0x10000
	pollAvail   = 0x20000
	pollUsed    = 0x30000
	pollHeaders = 0x40000
	pollStatus  = 0x50000
	pollData    = 0x100000
	pollSlots   = pollQueue / 3
	pollSlot    = 64 << 10 // bytes of data
)

// poller is a guest that looks for what was used instead of taking interrupts,
// in guest memory as a machine has it. It allocates nothing.
type poller struct {
	t    testing.TB
	all  []byte
	dev  *blk.Device
	kick *virtio.Kick
	next uint16 // of the available ring
	seen uint16 // of the used ring
}

func newPoller(t testing.TB, c blk.Config) *poller {
	t.Helper()
	layout, err := guestmem.NewLayout(64 << 20)
	if err != nil {
		t.Fatal(err)
	}
	mem, err := guestmem.New(layout)
	if err != nil {
		t.Fatal(err)
	}
	p := &poller{t: t}
	if p.all, err = mem.View(0, 64<<20); err != nil {
		t.Fatal(err)
	}
	if p.dev, err = blk.New(c, nil); err != nil {
		t.Fatal(err)
	}
	if p.kick, err = virtio.NewKick(); err != nil {
		t.Fatal(err)
	}
	features := p.dev.Features() | virtio.FeatureVersion1 | virtio.FeatureEventIdx
	q, err := virtio.NewQueue(mem, virtio.QueueState{Size: pollQueue, Desc: pollDesc, Avail: pollAvail, Use: pollUsed}, features, p.kick, func() {})
	if err != nil {
		t.Fatal(err)
	}
	queues := make([]*virtio.Queue, c.Queues)
	queues[0] = q
	if err := p.dev.Start(virtio.Driver{Features: features, Queues: queues, Transport: fatal{t}}); err != nil {
		t.Fatal(err)
	}
	p.dev.Resume()
	t.Cleanup(func() {
		p.dev.Stop()
		if err := p.dev.Close(); err != nil {
			t.Error(err)
		}
		_ = p.kick.Close()
		_ = mem.Close()
	})
	return p
}

// fatal is a transport of a driver that does nothing wrong.
type fatal struct{ t testing.TB }

func (f fatal) ConfigChanged() {}
func (f fatal) Fail(err error) { f.t.Error(err) }

// word is a 16-bit field at an offset, as part of the aligned word that it is in.
func (p *poller) word(at int) (w *uint32, shift int) {
	// SAFETY: the word is in guest memory.
	return (*uint32)(unsafe.Pointer(&p.all[at&^3])), at % 4 * 8
}

func (p *poller) load(at int) uint16 {
	w, shift := p.word(at)
	return uint16(atomic.LoadUint32(w) >> shift)
}

// add makes a request of a slot available: kind, sector, bytes of data that begin shift bytes into the slot.
func (p *poller) add(slot int, kind uint32, sector uint64, size, shift uint32) {
	le := binary.LittleEndian
	h := p.all[pollHeaders+slot*16:]
	le.PutUint32(h, kind)
	le.PutUint64(h[8:], sector)
	flags := uint16(1)
	if kind == tIn {
		flags = 3
	}
	desc := func(i int, gpa uint64, size uint32, flags uint16) {
		d := p.all[pollDesc+i*16:]
		le.PutUint64(d, gpa)
		le.PutUint32(d[8:], size)
		le.PutUint16(d[12:], flags)
		le.PutUint16(d[14:], uint16(i+1))
	}
	desc(slot*3, uint64(pollHeaders+slot*16), 16, 1)
	desc(slot*3+1, uint64(pollData+slot*pollSlot)+uint64(shift), size, flags)
	desc(slot*3+2, uint64(pollStatus+slot), 1, 2)
	le.PutUint16(p.all[pollAvail+4+int(p.next%pollQueue)*2:], uint16(slot*3))
	p.next++
}

// ring makes visible what was added since, and kicks if the device wants it.
func (p *poller) ring(before uint16) {
	w, _ := p.word(pollAvail)
	atomic.StoreUint32(w, uint32(p.next)<<16)
	if event := p.load(pollUsed + 4 + pollQueue*8); p.next-event-1 < p.next-before {
		p.kick.Wake()
	}
}

// poll returns the slot of a request that was used, or -1.
func (p *poller) poll() int {
	if p.load(pollUsed+2) == p.seen {
		return -1
	}
	slot := int(binary.LittleEndian.Uint32(p.all[pollUsed+4+int(p.seen%pollQueue)*8:])) / 3
	p.seen++
	if got := p.all[pollStatus+slot]; got != ok {
		p.t.Fatalf("status: got %d; want ok", got)
	}
	return slot
}

// work has n requests done, depth at a time, each wherever sector says.
func (p *poller) work(n, depth int, kind uint32, size, shift uint32, sector func() uint64) {
	// No interrupts: the event is half a ring of indices away.
	binary.LittleEndian.PutUint16(p.all[pollAvail+4+pollQueue*2:], p.seen+1<<15)
	before, sent := p.next, 0
	for ; sent < min(depth, n); sent++ {
		p.add(sent, kind, sector(), size, shift)
	}
	p.ring(before)
	for done := 0; done < n; {
		before = p.next
		for slot := p.poll(); slot >= 0; slot = p.poll() {
			if done++; sent < n {
				p.add(slot, kind, sector(), size, shift)
				sent++
			}
			if done%(1<<14) == 0 {
				binary.LittleEndian.PutUint16(p.all[pollAvail+4+pollQueue*2:], p.seen+1<<15)
			}
		}
		if p.next != before {
			p.ring(before)
		} else {
			_, _, _ = unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0) // the host has few CPUs, and work to do
		}
	}
}
