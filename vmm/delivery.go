package vmm

import (
	virtionet "github.com/ferryvmm/ferry/devices/virtio/net"
	"github.com/ferryvmm/ferry/migration"
)

// delivery is the network of a guest that arrives: it gets what came for it at its source before what
// comes to this host.
type delivery struct {
	m    *Machine
	nics []*virtionet.Device // of the restored guest, in the plan's order
}

var _ migration.NetworkTarget = (*delivery)(nil)

// Hold implements migration.NetworkTarget.
func (d *delivery) Hold() {
	d.m.mu.Lock()
	d.nics = d.m.nics()
	d.m.mu.Unlock()
	for _, n := range d.nics {
		n.Hold()
	}
}

// Deliver implements migration.NetworkTarget.
func (d *delivery) Deliver(p migration.Packet) bool {
	return p.Interface < len(d.nics) && d.nics[p.Interface].Deliver(p.Queue, p.Data)
}

// Release implements migration.NetworkTarget.
func (d *delivery) Release() {
	for _, n := range d.nics {
		n.Release()
	}
}

// nics are the network devices, in the plan's order. Precondition: mu is held.
func (m *Machine) nics() (all []*virtionet.Device) {
	for _, s := range m.instance.board.slots {
		if s.part.nic != nil {
			all = append(all, s.part.nic)
		}
	}
	return all
}
