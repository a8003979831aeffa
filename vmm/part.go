package vmm

import (
	"fmt"
	"net"
	"os"

	"github.com/fxamacker/cbor/v2"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/balloon"
	"github.com/ferryvmm/ferry/devices/virtio/blk"
	"github.com/ferryvmm/ferry/devices/virtio/console"
	virtionet "github.com/ferryvmm/ferry/devices/virtio/net"
	"github.com/ferryvmm/ferry/devices/virtio/rng"
	"github.com/ferryvmm/ferry/devices/virtio/vsock"
	"github.com/ferryvmm/ferry/guestmem"
)

// part is a virtio device as the machine knows it: what works, and how to save it.
type part struct {
	device virtio.Device
	save   func() any
	// nic is the device where that is a network device, and nil elsewhere.
	nic *virtionet.Device
	// announcement are the frames that tell a network where the guest is; nil: it is no network device.
	announcement func() [][]byte
	// leave has it change nothing that another process works on from here on; nil: it would not.
	leave func()
	// accept takes a connection from the host; nil: the device has none.
	accept func(net.Conn)
	// facts adds what the device has done; nil: nothing is counted.
	facts func(*DeviceFacts)
	// inflate asks the guest to give back so many pages of 4 KiB, in all; nil: no balloon.
	inflate func(pages uint32)
}

// maker makes the devices of one kind.
type maker struct {
	version uint16 // of their states
	make    func(s Slot, m *guestmem.Memory, b *backends, saved cbor.RawMessage) (part, error)
}

// makers are the kinds of virtio devices.
var makers = map[string]maker{
	KindBlk:     {blk.Version, makeBlk},
	KindNet:     {virtionet.Version, makeNet},
	KindRNG:     {rng.Version, makeRNG},
	KindConsole: {console.Version, makeConsole},
	KindBalloon: {balloon.Version, makeBalloon},
	KindVsock:   {vsock.Version, makeVsock},
}

func makeBlk(s Slot, _ *guestmem.Memory, b *backends, saved cbor.RawMessage) (part, error) {
	state, err := decodeState[blk.State](saved)
	if err != nil {
		return part{}, err
	}
	k := b.disk(s.ID)
	file, err := duplicate(k.file)
	if err != nil {
		return part{}, err
	}
	d, err := blk.New(blk.Config{
		Name: s.ID, File: file, Size: s.Disk.Size, BlockSize: s.Disk.BlockSize, Alignment: k.alignment,
		ReadOnly: s.Disk.ReadOnly, Queues: s.Disk.Queues, Log: b.log.With("device", s.Device.String()),
		Read: b.origins.of(k),
	}, state)
	if err != nil {
		file.Close()
		return part{}, err
	}
	return part{device: d, save: func() any { return d.Save() }, facts: func(f *DeviceFacts) {
		c := d.Counters()
		f.Disk = &c
	}}, nil
}

func makeNet(s Slot, _ *guestmem.Memory, b *backends, saved cbor.RawMessage) (_ part, err error) {
	state, err := decodeState[netState](saved)
	if err != nil {
		return part{}, err
	}
	var before *virtionet.State
	var seen watched
	if state != nil {
		before, seen = &state.State, state.Watched
	}
	w, err := newWatch(s.Net.NIC, seen)
	if err != nil {
		return part{}, err
	}
	var queues []*os.File
	defer func() {
		if err != nil {
			for _, f := range queues {
				f.Close()
			}
		}
	}()
	for _, tap := range b.taps[s.ID] {
		f, err := duplicate(tap)
		if err != nil {
			return part{}, err
		}
		queues = append(queues, f)
	}
	d, err := virtionet.New(virtionet.Config{
		Tap: queues, MAC: s.Net.MAC, MTU: s.Net.MTU, Inherited: b.lent, Sent: outward{w}, Received: inward{w}, Log: b.log.With("device", s.Device.String()),
	}, before)
	if err != nil {
		return part{}, err
	}
	return part{
		device: d, nic: d, leave: d.Leave,
		save:         func() any { return netState{d.Save(), w.save()} },
		announcement: func() [][]byte { return w.announcement(d.MAC()) },
		facts: func(f *DeviceFacts) {
			c := d.Stats()
			f.Net = &c
			w.facts(f, s.Net.MAC)
		},
	}, nil
}

func makeRNG(_ Slot, _ *guestmem.Memory, _ *backends, saved cbor.RawMessage) (part, error) {
	state, err := decodeState[rng.State](saved)
	if err != nil {
		return part{}, err
	}
	d, err := rng.New(rng.Config{}, state)
	return part{device: d, save: func() any { return d.Save() }}, err
}

func makeConsole(_ Slot, _ *guestmem.Memory, b *backends, saved cbor.RawMessage) (part, error) {
	state, err := decodeState[console.State](saved)
	if err != nil {
		return part{}, err
	}
	d, err := console.New(console.Config{Output: b.console, Room: b.console.Room}, state)
	if err != nil {
		return part{}, err
	}
	b.console.SetInput(d) // at rest it takes nothing
	return part{device: d, save: func() any { return d.Save() }}, nil
}

func makeBalloon(s Slot, m *guestmem.Memory, b *backends, saved cbor.RawMessage) (part, error) {
	state, err := decodeState[balloon.State](saved)
	if err != nil {
		return part{}, err
	}
	d, err := balloon.New(balloon.Config{Memory: m, Log: b.log.With("device", s.Device.String())}, state)
	if err != nil {
		return part{}, err
	}
	return part{device: d, save: func() any { return d.Save() }, inflate: d.SetTarget, facts: func(f *DeviceFacts) {
		f.Balloon = &BalloonFacts{Target: uint64(d.Target()) * balloon.PageSize, Actual: uint64(d.Actual()) * balloon.PageSize}
	}}, nil
}

func makeVsock(s Slot, _ *guestmem.Memory, b *backends, saved cbor.RawMessage) (part, error) {
	state, err := decodeState[vsock.State](saved)
	if err != nil {
		return part{}, err
	}
	d, err := vsock.New(vsock.Config{CID: s.Vsock.CID, Host: b.host}, state)
	if err != nil {
		return part{}, err
	}
	return part{device: d, save: func() any { return d.Save() }, accept: d.Accept}, nil
}

// decodeState reads a device's own state; nil stays nil.
func decodeState[S any](raw cbor.RawMessage) (*S, error) {
	if raw == nil {
		return nil, nil
	}
	s := new(S)
	if err := planMode.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("saved state: %w", err)
	}
	return s, nil
}
