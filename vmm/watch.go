package vmm

import (
	"slices"

	"github.com/ferryvmm/ferry/devices/virtio/net"
	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/netmig/announce"
	"github.com/ferryvmm/ferry/netmig/police"
	"github.com/ferryvmm/ferry/netmig/snoop"
)

// watch looks at the frames of a network device: it keeps them to the plan's
// policy, and learns the guest's addresses, for when it has moved.
type watch struct {
	nic            netmig.NIC
	guard          *police.Guard
	sent, received *police.Limiter
	known          *snoop.Table
}

// watched is what travels of a watch with the guest. It was not there before
// version 2 of the plan had policies: none is an empty one.
type watched struct {
	Addresses      snoop.State `cbor:",omitzero"`
	Sent, Received police.Owed `cbor:",omitzero"`
}

// netState is the state of a network device with what was seen of its frames.
type netState struct {
	net.State
	Watched watched `cbor:",omitzero"`
}

// newWatch goes on from where another has left off.
func newWatch(n netmig.NIC, w watched) (*watch, error) {
	known, err := snoop.New(&w.Addresses)
	if err != nil {
		return nil, err
	}
	return &watch{
		nic: n, guard: police.NewGuard(n), known: known,
		sent: police.NewLimiter(n.Policy, w.Sent), received: police.NewLimiter(n.Policy, w.Received),
	}, nil
}

// save is what travels.
func (w *watch) save() watched {
	return watched{Addresses: w.known.Save(), Sent: w.sent.Owed(), Received: w.received.Owed()}
}

// outward inspects what the guest sends.
type outward struct{ *watch }

var _, _ net.Inspector = outward{}, inward{}

// Inspect implements net.Inspector.
func (w outward) Inspect(head []byte, size int) (pass bool) {
	if !w.guard.Pass(head) || !w.sent.Pass(size) {
		return false
	}
	w.known.Sent(head)
	return true
}

// inward inspects what the guest gets.
type inward struct{ *watch }

// Inspect implements net.Inspector.
func (w inward) Inspect(head []byte, size int) (pass bool) {
	if !w.received.Pass(size) {
		return false
	}
	w.known.Received(head)
	return true
}

// addresses are where the guest can be reached by a device that has the address
// mac now: those that were given first, then what it was seen to have, unless it
// must not.
func (w *watch) addresses(mac netmig.MAC) (all []announce.Address) {
	for _, ip := range w.nic.IPs() {
		all = append(all, announce.Address{MAC: mac, IP: ip})
	}
	for _, a := range w.known.Addresses() {
		i := slices.IndexFunc(all, func(given announce.Address) bool { return given.IP == a.IP })
		switch {
		case i >= 0:
			all[i] = a
		case w.guard.Owns(a.IP):
			all = append(all, a)
		}
	}
	return all
}

// announcement are the frames that tell the network of the guest where it is. The
// guest can give its device another address than the plan's: a guarded one cannot
// have that announced.
func (w *watch) announcement(mac netmig.MAC) [][]byte {
	if w.nic.AntiSpoof {
		mac = w.nic.MAC
	}
	return announce.Frames(mac, w.addresses(mac))
}

// facts adds what was seen.
func (w *watch) facts(f *DeviceFacts, mac netmig.MAC) {
	f.Watch = &WatchFacts{TxSpoofed: w.guard.Refused(), TxLimited: w.sent.Refused(), RxLimited: w.received.Refused()}
	for _, a := range w.addresses(mac) {
		f.Watch.IPs = append(f.Watch.IPs, a.IP)
	}
}
