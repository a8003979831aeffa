package snoop

import (
	"slices"

	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/netmig/announce"
	"github.com/ferryvmm/ferry/netmig/frame"
)

// requests is how many requests of DHCP an answer is awaited for: the last ones.
const requests = 4

// request is one of DHCP: only its answer is believed.
type request struct {
	open        bool
	six         bool // for IPv6
	transaction uint32
	client      netmig.MAC
	vlan        uint16
}

// asked4 notes what the guest says to a server of DHCP for IPv4.
func (t *Table) asked4(e frame.Ethernet, b []byte) {
	_, to, b, ok := frame.ParseUDP(b)
	if !ok || to != frame.PortDHCPServer {
		return
	}
	d, ok := frame.ParseDHCP4(b)
	if !ok || d.Operation != frame.BootRequest || d.Client != e.Source {
		return
	}
	switch d.Type {
	case frame.DHCPRequest:
		t.ask(request{transaction: d.Transaction, client: d.Client, vlan: e.VLAN})
	case frame.DHCPRelease:
		t.forget(d.ClientIP, d.Client)
	case frame.DHCPDecline:
		t.forget(d.RequestedIP, d.Client)
	}
}

// answered4 learns from what a server answers.
func (t *Table) answered4(b []byte) {
	from, to, b, ok := frame.ParseUDP(b)
	if !ok || from != frame.PortDHCPServer || to != frame.PortDHCPClient {
		return
	}
	d, ok := frame.ParseDHCP4(b)
	if !ok || d.Operation != frame.BootReply || d.Type != frame.DHCPAck {
		return
	}
	if r, ok := t.answer(false, d.Transaction); ok && r.client == d.Client {
		t.learn(claim{Address: announce.Address{MAC: r.client, VLAN: r.vlan, IP: d.YourIP}, life: leased(d.Lease)})
	}
}

// asked6 notes what the guest says to a server of DHCP for IPv6.
func (t *Table) asked6(e frame.Ethernet, b []byte) {
	_, to, b, ok := frame.ParseUDP(b)
	if !ok || to != frame.PortDHCP6Server {
		return
	}
	d, ok := frame.ParseDHCP6(b)
	if !ok {
		return
	}
	switch d.Type {
	case frame.DHCP6Solicit, frame.DHCP6Request, frame.DHCP6Renew, frame.DHCP6Rebind:
		t.ask(request{six: true, transaction: d.Transaction, client: e.Source, vlan: e.VLAN})
	case frame.DHCP6Release, frame.DHCP6Decline:
		for _, l := range d.Leases() {
			t.forget(l.IP, e.Source)
		}
	}
}

// answered6 learns from what a server answers.
func (t *Table) answered6(b []byte) {
	_, to, b, ok := frame.ParseUDP(b)
	if !ok || to != frame.PortDHCP6Client {
		return
	}
	d, ok := frame.ParseDHCP6(b)
	if !ok || d.Type != frame.DHCP6Reply {
		return
	}
	r, ok := t.answer(true, d.Transaction)
	if !ok {
		return
	}
	for _, l := range d.Leases() {
		a := announce.Address{MAC: r.client, VLAN: r.vlan, IP: l.IP}
		if l.Valid == 0 {
			t.forget(a.IP, a.MAC)
		} else { // before the guest uses a new one, it asks whether another does
			t.learn(claim{Address: a, life: leased(l.Valid), tentative: true})
		}
	}
}

// ask notes a request.
func (t *Table) ask(r request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.open = true
	if slices.Contains(t.pending[:], r) { // it is sent again
		return
	}
	t.pending[t.next] = r
	t.next = (t.next + 1) % requests
}

// answer takes the request with a transaction, if there is one.
func (t *Table) answer(six bool, transaction uint32) (r request, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, p := range t.pending {
		if p.open && p.six == six && p.transaction == transaction {
			t.pending[i].open = false
			return p, true
		}
	}
	return r, false
}
