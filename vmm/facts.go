package vmm

import (
	"net/netip"

	"github.com/ferryvmm/ferry/devices/virtio/blk"
	virtionet "github.com/ferryvmm/ferry/devices/virtio/net"
	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/vcpu"
)

// Facts are what the machine knows of itself.
type Facts struct {
	Name          string
	State         State
	CPUs          int
	CPU           string // what it can, for people: Config.CPU
	MemoryBytes   uint64
	ResidentBytes uint64
	Cmdline       string
	Kernel        string
	Clock         string
	DirtyTracking Tracking      // what is in use: bitmap or ring
	Devices       []DeviceFacts // in the order of the plan
	Moves         int           // completed by the guest so far
	ReadyMonotone int64         // CLOCK_MONOTONIC of the guest's ready signal in ns; 0: not seen by this process
	CountedWrong  bool
	Missing       []guestmem.Range // memory that is still at the guest's source
	VCPUs         []vcpu.Counters  // by the vCPU's number
}

// DeviceFacts are a virtio device: what the guest was given, and what it has
// done with it since it was made here.
type DeviceFacts struct {
	Device  Device           // its backend is where it was at its first host
	Disk    *blk.Counters    `cbor:",omitempty"` // of a blk
	Net     *virtionet.Stats `cbor:",omitempty"` // of a net
	Watch   *WatchFacts      `cbor:",omitempty"` // of a net
	Balloon *BalloonFacts    `cbor:",omitempty"` // of a balloon
}

// WatchFacts are what was seen of the frames of a network device.
type WatchFacts struct {
	IPs       []netip.Addr // of the guest, as they were given, or seen in what it sends
	TxSpoofed uint64       // frames dropped because of addresses that are not the guest's
	TxLimited uint64       // … of the limits, of what it sent
	RxLimited uint64       // … and of what it was to get
}

// BalloonFacts are sizes in bytes.
type BalloonFacts struct {
	Target uint64 // that the guest is asked to give back
	Actual uint64 // that it says it gave
}

// facts describes the machine.
func (m *Machine) facts() Facts {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := Facts{
		Name: m.plan.Name, State: m.state, CPUs: m.plan.CPUs, CPU: m.plan.CPU, MemoryBytes: m.plan.Layout.Size(),
		Cmdline: m.plan.Cmdline, Kernel: m.plan.Kernel, Clock: m.plan.Clock, Moves: m.plan.Moves,
		ReadyMonotone: m.readyAt, CountedWrong: m.instance.board.wrong(), DirtyTracking: TrackBitmap,
		VCPUs: m.instance.cpus.Counters(),
	}
	if m.instance.rings != nil {
		f.DirtyTracking = TrackRing
	}
	for _, s := range m.instance.board.slots {
		d := DeviceFacts{Device: s.plan.Device}
		if s.part.facts != nil {
			s.part.facts(&d)
		}
		f.Devices = append(f.Devices, d)
	}
	if m.pulling {
		f.Missing = m.instance.memory.Missing()
	}
	if n, err := m.instance.memory.DataBytes(); err == nil {
		f.ResidentBytes = n
	}
	return f
}
