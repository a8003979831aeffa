package net

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

func le32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
func le64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }

func TestCommands(t *testing.T) {
	table := func(lists ...int) (b []byte) {
		for _, n := range lists {
			b = append(append(b, le32(uint32(n))...), make([]byte, 6*n)...)
		}
		return b
	}
	for _, tt := range []struct {
		name    string
		refuse  uint64
		command [2]byte
		data    []byte
		want    byte
	}{
		{"promiscuous", 0, [2]byte{0, 0}, []byte{1}, ackOK},
		{"all multicast", 0, [2]byte{0, 1}, []byte{0}, ackOK},
		{"promiscuous, not accepted", featureControlRx, [2]byte{0, 0}, []byte{1}, ackErr},
		{"promiscuous, two bytes", 0, [2]byte{0, 0}, []byte{1, 1}, ackErr},
		{"all unicast, not offered", 0, [2]byte{0, 2}, []byte{1}, ackErr},
		{"MAC table, empty", 0, [2]byte{1, 0}, table(0, 0), ackOK},
		{"MAC table", 0, [2]byte{1, 0}, table(3, 70), ackOK},
		{"MAC table, one list", 0, [2]byte{1, 0}, table(3), ackErr},
		{"MAC table, cut", 0, [2]byte{1, 0}, table(3, 70)[:100], ackErr},
		{"MAC table, too long", 0, [2]byte{1, 0}, append(table(3, 70), 0), ackErr},
		{"MAC table, huge", 0, [2]byte{1, 0}, append(le32(1<<32-1), le32(1<<32-1)...), ackErr},
		{"address", 0, [2]byte{1, 1}, []byte{2, 0, 0, 0, 0, 7}, ackOK},
		{"address, multicast", 0, [2]byte{1, 1}, []byte{1, 0, 0, 0, 0, 7}, ackErr},
		{"address, zero", 0, [2]byte{1, 1}, make([]byte, 6), ackErr},
		{"address, short", 0, [2]byte{1, 1}, []byte{2, 0, 0, 0, 7}, ackErr},
		{"address, not accepted", featureControlMAC, [2]byte{1, 1}, []byte{2, 0, 0, 0, 0, 7}, ackErr},
		{"VLAN, not offered", 0, [2]byte{2, 0}, []byte{1, 0}, ackErr},
		{"announced", 0, [2]byte{3, 0}, nil, ackOK},
		{"announced, not accepted", featureAnnounce, [2]byte{3, 0}, nil, ackErr},
		{"pairs", 0, [2]byte{4, 0}, []byte{2, 0}, ackOK},
		{"pairs, none", 0, [2]byte{4, 0}, []byte{0, 0}, ackErr},
		{"pairs, too many", 0, [2]byte{4, 0}, []byte{3, 0}, ackErr},
		{"pairs, far too many", 0, [2]byte{4, 0}, []byte{0xff, 0xff}, ackErr},
		{"offloads", 0, [2]byte{5, 0}, le64(featureGuestCsum), ackOK},
		{"offloads, none", 0, [2]byte{5, 0}, le64(0), ackOK},
		{"offloads, not accepted", featureGuestTSO6, [2]byte{5, 0}, le64(featureGuestTSO6), ackErr},
		{"offloads, not offered", 0, [2]byte{5, 0}, le64(1 << 10), ackErr},
		{"offloads, short", 0, [2]byte{5, 0}, []byte{0, 0, 0, 0}, ackErr},
		{"unknown", 0, [2]byte{0xff, 0xff}, nil, ackErr},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuest(t, 2, virtiotest.Options{Refuse: tt.refuse})
			control := g.Queue(4)
			out := [][]byte{tt.command[:]}
			if len(tt.data) > 0 {
				out = append(out, tt.data)
			}
			if got := control.Do(out, 1)[0]; got != tt.want {
				t.Errorf("got %d; want %d", got, tt.want)
			}
			// However it is laid out, the answer is the same.
			whole := append(tt.command[:], tt.data...)
			if got := control.Do([][]byte{whole[:1], whole[1:]}, 1, 5)[0]; got != tt.want {
				t.Errorf("laid out in another way: got %d; want %d", got, tt.want)
			}
		})
	}
}

func TestControlQueueWithoutMultiQueue(t *testing.T) {
	g := newGuest(t, 2, virtiotest.Options{Refuse: featureMultiQueue, Absent: []int{3, 4}})
	if got := g.Queue(2).Do([][]byte{{0, 0}, {1}}, 1)[0]; got != ackOK {
		t.Errorf("got %d; want %d: the queue is the one behind the pair that the driver knows", got, ackOK)
	}
	if got := g.Queue(2).Do([][]byte{{4, 0}, {2, 0}}, 1)[0]; got != ackErr {
		t.Errorf("pairs: got %d; want %d", got, ackErr)
	}
}

// TestPairs follows the driver's changes of mind: who serves what, and what the
// tap is told.
func TestPairs(t *testing.T) {
	g := newGuest(t, 3, virtiotest.Options{})
	control := g.Queue(6)
	use := func(n byte) {
		t.Helper()
		if got := control.Do([][]byte{{4, 0}, {n, 0}}, 1)[0]; got != ackOK {
			t.Fatalf("use %d pairs: got %d; want %d", n, got, ackOK)
		}
	}
	check := func(n int) {
		t.Helper()
		for i := range 3 {
			g.tap.mu.Lock()
			attached := g.tap.attached[i]
			g.tap.mu.Unlock()
			if attached != (i < n) {
				t.Errorf("%d pairs in use: queue %d of the tap is attached: %v", n, i, attached)
			}
			if i >= n {
				continue
			}
			f := frame(100, i)
			g.Queue(2*i).Send(nil, 1536)
			g.tap.send(i, f)
			if got := g.packet(2 * i); !bytes.Equal(got, f) {
				t.Errorf("pair %d received %x; want %x", i, got, f)
			}
			g.Queue(2*i + 1).Do([][]byte{make([]byte, headerSize), f})
			if got := g.tap.next(i)[headerSize:]; !bytes.Equal(got, f) {
				t.Errorf("pair %d sent %x; want %x", i, got, f)
			}
		}
	}
	check(1)
	use(3)
	check(3)
	use(2)
	check(2)
	g.move()
	check(2)
	use(3)
	g.Quiesce()
	g.Resume()
	check(3)
	g.Stop()
	g.Start()
	check(1)
}

func TestPairsThatAreNotSetUp(t *testing.T) {
	g := newGuest(t, 2, virtiotest.Options{Absent: []int{3}})
	if got := g.Queue(4).Do([][]byte{{4, 0}, {2, 0}}, 1)[0]; got != ackErr {
		t.Errorf("got %d; want %d", got, ackErr)
	}
}

// TestOffloads shows what the tap is told of what the driver takes.
func TestOffloads(t *testing.T) {
	const all = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
	for _, tt := range []struct {
		refuse uint64
		want   int
	}{
		{0, all},
		{featureGuestTSO6, unix.TUN_F_CSUM | unix.TUN_F_TSO4},
		{featureGuestTSO4, unix.TUN_F_CSUM | unix.TUN_F_TSO6},
		{featureGuestTSO4 | featureGuestTSO6, unix.TUN_F_CSUM},
		{featureGuestCsum, 0},
	} {
		g := newGuest(t, 1, virtiotest.Options{Refuse: tt.refuse})
		offloads := func() int {
			g.tap.mu.Lock()
			defer g.tap.mu.Unlock()
			return g.tap.offloads
		}
		if got := offloads(); got != tt.want {
			t.Errorf("refused %#x: got %#x; want %#x", tt.refuse, got, tt.want)
		}
		if got := g.Queue(2).Do([][]byte{{5, 0}, le64(0)}, 1)[0]; got != ackOK || offloads() != 0 {
			t.Errorf("switched off: got %d and %#x; want %d and 0", got, offloads(), ackOK)
		}
		g.move()
		if got := offloads(); got != 0 {
			t.Errorf("switched off, then moved: got %#x; want 0", got)
		}
		g.Stop()
		if got := offloads(); got != 0 {
			t.Errorf("stopped: got %#x; want 0", got)
		}
		g.Start()
		if got := offloads(); got != tt.want {
			t.Errorf("started again: got %#x; want %#x", got, tt.want)
		}
	}
}

// TestTapRefuses shows that the driver learns of it when the tap does not do
// what it asked for.
func TestTapRefuses(t *testing.T) {
	g := newGuest(t, 2, virtiotest.Options{})
	g.tap.mu.Lock()
	g.tap.refuse = unix.EINVAL
	g.tap.mu.Unlock()
	for _, command := range [][][]byte{{{4, 0}, {2, 0}}, {{5, 0}, le64(0)}} {
		if got := g.Queue(4).Do(command, 1)[0]; got != ackErr {
			t.Errorf("%x: got %d; want %d", command, got, ackErr)
		}
	}
	g.Stop()
	if err := g.TryStart(); err == nil {
		t.Error("start: got no error; want one")
	}
}

func TestConfig(t *testing.T) {
	f := newFakeTap(t, 2)
	d := f.device(Config{MTU: 9000}, nil)
	defer d.Close()
	want := []byte{0x52, 0x54, 0, 1, 2, 3, 1, 0, 2, 0, 0x28, 0x23, 0, 0}
	for offset := range want {
		got := bytes.Repeat([]byte{0xee}, len(want))
		d.ReadConfig(uint64(offset), got)
		if diff := cmp.Diff(append(bytes.Clone(want[offset:]), make([]byte, offset)...), got); diff != "" {
			t.Errorf("from %d (-want +got):\n%s", offset, diff)
		}
	}
	got := []byte{1}
	d.ReadConfig(1<<63, got)
	if got[0] != 0 {
		t.Errorf("far behind the end: got %d; want 0", got[0])
	}
	if d.Features()&(featureMTU|featureMultiQueue) != featureMTU|featureMultiQueue {
		t.Errorf("features: got %#x; want the MTU's and several queues'", d.Features())
	}
	plain := newFakeTap(t, 1).device(Config{}, nil)
	defer plain.Close()
	if plain.Features()&(featureMTU|featureMultiQueue) != 0 {
		t.Errorf("features: got %#x; want neither the MTU's nor several queues'", plain.Features())
	}
}

// TestAnnounce shows both ways: frames from which the network learns, and the
// driver that is asked until it says that it did.
func TestAnnounce(t *testing.T) {
	frames := [][]byte{frame(60, 1), frame(86, 2)}
	for _, refuse := range []uint64{0, featureAnnounce} {
		g := newGuest(t, 1, virtiotest.Options{Refuse: refuse})
		if err := g.dev.Announce(frames); err != nil {
			t.Fatal(err)
		}
		for _, f := range frames {
			if diff := cmp.Diff(packetOf(f), g.tap.next(0)); diff != "" {
				t.Errorf("frame (-want +got):\n%s", diff)
			}
		}
		if refuse != 0 {
			if got := g.Config(6, 2)[0]; got != linkUp || g.ConfigChanges() != 0 {
				t.Errorf("status: got %#x, %d changes; want %#x, none", got, g.ConfigChanges(), linkUp)
			}
			continue
		}
		g.WaitConfigChanges(1)
		g.move() // asked still
		if got := g.Config(6, 2)[0]; got != linkUp|announce {
			t.Errorf("status: got %#x; want %#x", got, linkUp|announce)
		}
		if got := g.Queue(2).Do([][]byte{{3, 0}}, 1)[0]; got != ackOK {
			t.Errorf("acknowledge: got %d; want %d", got, ackOK)
		}
		if got := g.Config(6, 2)[0]; got != linkUp {
			t.Errorf("status, acknowledged: got %#x; want %#x", got, linkUp)
		}
	}
}

// TestAddress shows that the driver's address moves with it, and goes with a
// reset.
func TestAddress(t *testing.T) {
	g := newGuest(t, 1, virtiotest.Options{})
	mine := []byte{2, 0, 0, 0, 0, 7}
	if got := g.Queue(2).Do([][]byte{{1, 1}, mine}, 1)[0]; got != ackOK {
		t.Fatalf("set it: got %d; want %d", got, ackOK)
	}
	g.move()
	if got := g.Config(0, 6); !bytes.Equal(got, mine) {
		t.Errorf("after a move: got %x; want %x", got, mine)
	}
	if got := g.dev.MAC(); !bytes.Equal(got[:], mine) {
		t.Errorf("to be announced: got %x; want %x", got, mine)
	}
	g.Stop()
	if got := g.Config(0, 6); !bytes.Equal(got, guestMAC[:]) {
		t.Errorf("after a reset: got %x; want %x", got, guestMAC)
	}
}
