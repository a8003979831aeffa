package vmm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/vmm/firmware"
)

// Kinds of virtio devices.
const (
	KindBlk     = "blk"
	KindNet     = "net"
	KindRNG     = "rng"
	KindConsole = "console"
	KindBalloon = "balloon"
	KindVsock   = "vsock"
)

// Device is a virtio device that a person asked for.
type Device struct {
	Kind  string
	ID    string // unique among those of its kind
	Disk  *Disk  `cbor:",omitempty"` // of a blk
	Net   *Net   `cbor:",omitempty"` // of a net
	Vsock *Vsock `cbor:",omitempty"` // of a vsock
	Spec  string `cbor:",omitempty"` // of a console: where it goes, for people and the target
}

// Disk is what a guest sees of an image, and where its first host found it.
type Disk struct {
	Path      string
	Size      uint64 // bytes
	BlockSize uint32 // bytes
	ReadOnly  bool
	Cache     string // none or writeback
	Queues    int
}

// Net is a network device of a guest, and where the host that has it, or had it, connects it.
type Net struct {
	netmig.NIC
	netmig.Attachment
	Link string `cbor:",omitempty"` // the name there of its tap, or macvtap
	// Bridged: the link is a port of a bridge there, so what is announced elsewhere on its network comes round to it.
	Bridged bool `cbor:",omitempty"`
}

// Vsock is a socket device: the guest's address, and the path of its host side.
type Vsock struct {
	CID  uint64
	Path string
}

// String names the device for people.
func (d Device) String() string {
	switch d.Kind {
	case KindBlk:
		return "disk " + d.ID
	case KindNet:
		return "network " + d.ID
	}
	return "virtio-" + d.Kind
}

// Slot is a device in its place on the bus.
type Slot struct {
	Device
	Base uint64 // of its registers
	GSI  uint32
}

// Where the registers of virtio devices are, in bytes.
const (
	slotBase = 0xfea00000
	slotSize = 0x1000
)

// MaxDevices is how many virtio devices a guest can have: there are no more
// interrupt lines.
var MaxDevices = len(firmware.VirtioGSIs())

// Most queues, or pairs of them, of one device.
const maxQueues = 8

// CheckDevices refuses devices that no guest can have together: a supervisor
// asks, which does not believe its machine, and may rely on each having what its
// kind has. The error is a *Failure.
func CheckDevices(devices []Device) error {
	_, err := place(devices)
	return err
}

// place gives each device its registers and its line, in order.
func place(devices []Device) ([]Slot, error) {
	if len(devices) > MaxDevices {
		return nil, &Failure{Code: "config", Message: fmt.Sprintf("%d virtio devices are more than the %d that there is room for", len(devices), MaxDevices), Remedy: "give the guest fewer devices"}
	}
	var slots []Slot
	lines := firmware.VirtioGSIs()
	for i, d := range devices {
		if err := d.check(devices[:i]); err != nil {
			return nil, err
		}
		slots = append(slots, Slot{Device: d, Base: slotBase + uint64(i)*slotSize, GSI: lines[i]})
	}
	return slots, nil
}

// check refuses what cannot be built, and what is there already.
func (d Device) check(others []Device) error {
	bad := func(format string, args ...any) error {
		return &Failure{Code: "config", Message: fmt.Sprintf("%v: ", d) + fmt.Sprintf(format, args...), Remedy: "see vmm run --help"}
	}
	for _, o := range others {
		switch {
		case o.Kind == d.Kind && o.ID == d.ID:
			return bad("given twice")
		case o.Kind == d.Kind && d.Kind != KindBlk && d.Kind != KindNet:
			return bad("there can be only one")
		}
	}
	switch d.Kind {
	case KindBlk:
		switch k := d.Disk; {
		case k == nil || !idOK(d.ID):
			return bad("incomplete")
		case k.Size == 0 || k.Size%512 != 0 || k.Queues < 1 || k.Queues > maxQueues:
			return bad("%d bytes, %d queues", k.Size, k.Queues)
		case k.BlockSize < 512 || k.BlockSize > 4096 || k.BlockSize&(k.BlockSize-1) != 0:
			return bad("blocks of %d bytes", k.BlockSize)
		case k.Cache != "none" && k.Cache != "writeback":
			return bad("cache %q is not known", k.Cache)
		}
	case KindNet:
		if d.Net == nil || d.Net.ID != d.ID || d.Net.MTU == 0 {
			return bad("incomplete")
		}
		if err := d.Net.NIC.Check(); err != nil {
			return bad("%v", err)
		}
	case KindVsock:
		if d.Vsock == nil || d.Vsock.CID < 3 || d.Vsock.CID >= 1<<32-1 {
			return bad("the context id must be from 3 to 4294967294")
		}
	case KindRNG, KindConsole, KindBalloon:
	default:
		return bad("no such kind of device")
	}
	return nil
}

// idOK tells whether a device's name is one.
func idOK(id string) bool {
	return id != "" && len(id) <= 32 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == ""
}

// deviceWords tells kernels without ACPI of the devices, on their command line.
// Words behind "--" are not the kernel's. A line that has such words already is
// left as it is.
func deviceWords(line string, slots []Slot) string {
	const word = "virtio_mmio.device="
	if strings.Contains(line, word) || len(slots) == 0 {
		return line
	}
	var words []string
	for _, s := range slots {
		words = append(words, fmt.Sprintf("%s4K@%#x:%d", word, s.Base, s.GSI))
	}
	fields := strings.Fields(line)
	if i := slices.Index(fields, "--"); i >= 0 {
		return strings.Join(slices.Concat(fields[:i], words, fields[i:]), " ")
	}
	return strings.TrimSpace(line + " " + strings.Join(words, " "))
}
