package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/netmig/link"
	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// networks are a guest's connections to this host's.
type networks struct {
	hooks *netHooks
	move  string // that the guest comes by; empty: none
	told  []hookNetwork

	mu      sync.Mutex // guards what follows
	ports   []*link.Port
	state   hookEvent      // the last that the hooks were told; empty: nothing
	guest   string         // the guest's name, as they know it
	telling sync.WaitGroup // of its activation
}

// network is the connections of a guest; nil if it has nothing to work on.
func (a *attachments) network() *networks {
	if a == nil {
		return nil
	}
	return &a.networks
}

// moveOf names the move that a guest comes by, empty for a snapshot.
func moveOf(guest vmm.Arriving) string {
	if guest.Move == (migration.MoveID{}) {
		return ""
	}
	return guest.Move.String()
}

// newNet joins a device of a new guest, whose addresses nobody may have.
func (a *attachments) newNet(ctx context.Context, spec netmig.Spec) error {
	nic := spec.NIC()
	p, err := a.addNet(spec.Attachment, nic)
	if err != nil {
		return err
	}
	return fromMachine(p.Probe(ctx, nic, spec.MAC != netmig.MAC{}))
}

// arrivingNet joins a device that a guest brings with it. What nobody named here
// must be here already: a tap made by mistake leads nowhere.
func (a *attachments) arrivingNet(places Places, d vmm.Device) error {
	spec, mapped := places.net(d)
	if err := spec.Attachment.Check(); err != nil {
		return api.Errorf("net", "name one to the receiver: --net "+spec.ID+"=tap=NAME or --net "+spec.ID+"=bridge=NAME", "network %s: %v", spec.ID, err)
	}
	if err := spec.Fits(d.Net.NIC); err != nil {
		return fromMachine(err)
	}
	if _, err := net.InterfaceByName(spec.Tap); err != nil && spec.Tap != "" && !mapped {
		return api.Errorf(netmig.CodeAbsent, "name one to the receiver: --net "+spec.ID+"=tap=NAME or --net "+spec.ID+"=bridge=NAME",
			"network %s: there is no tap %s on this host", spec.ID, spec.Tap)
	}
	_, err := a.addNet(spec.Attachment, d.Net.NIC)
	return err
}

// net is where a network is found here, and whether somebody said so.
func (p Places) net(d vmm.Device) (spec netmig.Spec, mapped bool) {
	for _, n := range p.Nets {
		if n.ID == d.ID {
			return n, true
		}
	}
	return netmig.Spec{ID: d.ID, Attachment: d.Net.Attachment}, false
}

// addNet joins a network device to the network here.
func (a *attachments) addNet(at netmig.Attachment, nic netmig.NIC) (*link.Port, error) {
	p, err := link.Open(at, nic, a.move)
	if err != nil {
		return nil, fromMachine(fmt.Errorf("network %s: %w", nic.ID, err))
	}
	for q, f := range p.Queues {
		a.files.add(vmm.TapRole(nic.ID, q), f)
	}
	nic.MTU = p.MTU
	a.addPort(p, vmm.Net{NIC: nic, Attachment: at, Link: p.Tap, Bridged: p.Bridged()})
	return p, nil
}

// adoptNet takes charge of a device whose source hands its tap over.
func (a *attachments) adoptNet(d vmm.Device) error {
	if err := d.Net.Attachment.Check(); err != nil {
		return api.Errorf("net", "use the same version of vmm on both sides", "network %s: %v", d.ID, err)
	}
	p, err := link.Adopt(d.Net.Attachment, d.Net.NIC, d.Net.Link)
	if err != nil {
		return fromMachine(fmt.Errorf("network %s: %w", d.ID, err))
	}
	a.addPort(p, *d.Net)
	return nil
}

func (a *attachments) addPort(p *link.Port, n vmm.Net) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ports = append(a.ports, p)
	a.told = append(a.told, describeNet(n))
	a.devices = append(a.devices, vmm.Device{Kind: vmm.KindNet, ID: n.ID, Net: &n})
}

// reserve has the site prepare for the guest. An error refuses it.
func (n *networks) reserve(guest string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.guest, n.state = guest, eventReserve
	return n.tell(eventReserve)
}

// tell runs the hooks of a guest that has networks. Precondition: mu is held.
func (n *networks) tell(e hookEvent) error {
	if len(n.told) == 0 {
		return nil
	}
	return n.hooks.run(hookCall{Event: e, Guest: n.guest, Move: n.move, Networks: n.told})
}

// activate leads to the guest what is sent to it: it runs here.
func (n *networks) activate(guest string, log *slog.Logger) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.ports {
		if err := p.Activate(); err != nil {
			log.Error("leading the guest's traffic here", "tap", p.Tap, "error", err)
		}
	}
	n.guest, n.state = guest, eventActivate
	n.telling.Add(1)
	go func() {
		defer n.telling.Done()
		n.mu.Lock()
		defer n.mu.Unlock()
		if err := n.tell(eventActivate); err != nil {
			log.Warn("a network hook failed", "error", err)
		}
	}()
}

// retire leads nothing here any more.
func (n *networks) retire(log *slog.Logger) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.ports {
		if err := p.Retire(); err != nil {
			log.Warn("leaving a network", "tap", p.Tap, "error", err)
		}
	}
}

// mark lets the target of a move from here know the guest's taps, as long as it lasts.
func (n *networks) mark(move string) error {
	if n == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	var errs []error
	for _, p := range n.ports {
		errs = append(errs, p.Mark(move))
	}
	return errors.Join(errs...)
}

// routed are the taps to which this host routes, or will.
func (n *networks) routed() (taps []routedTap) {
	if n == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.ports {
		if routes := p.Routes(); len(routes) > 0 {
			taps = append(taps, routedTap{Tap: p.Tap, Routes: routes})
		}
	}
	return taps
}

// leave lets go of the taps, as they are: another process works on them, and is
// who tells the hooks from here on.
func (n *networks) leave() {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.ports {
		p.Leave()
	}
	n.ports, n.state = nil, ""
}

// close gives the networks back.
func (n *networks) close() {
	n.telling.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.ports {
		if err := p.Close(); err != nil {
			n.hooks.log.Warn("closing a tap", "tap", p.Tap, "error", err)
		}
	}
	n.ports = nil
	var err error
	switch n.state {
	case eventReserve:
		err = n.tell(eventFail)
	case eventActivate:
		err = n.tell(eventRelease)
	}
	if n.state = ""; err != nil {
		n.hooks.log.Warn("a network hook failed", "error", err)
	}
}
