package supervisor

import (
	"context"
	"os"
	"time"

	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// maxMissing is how many parts of missing memory are told.
const maxMissing = 64

// info describes the machine for the API.
func (s *supervisor) info(ctx context.Context) (api.Machine, error) {
	m, _, err := s.inspect(ctx)
	return m, err
}

// inspect is info, and what the machine says of itself, which is nothing while there is no guest.
func (s *supervisor) inspect(ctx context.Context) (api.Machine, vmm.Facts, error) {
	var f vmm.Facts
	s.mu.Lock()
	m := api.Machine{
		Name: s.name.name, State: s.state, SupervisorPID: os.Getpid(), Console: s.console.String(),
		StartedAt: s.startedAt, Version: api.Version(), Socket: s.name.path("sock"), Listening: s.listening, Devices: []api.Device{},
	}
	p, at := s.proc, s.attached
	s.mu.Unlock()
	if p == nil {
		return m, f, nil
	}
	m.PID, m.Confinement = p.pid, p.confinement
	if m.State == api.StateReceiving {
		return m, f, nil // no guest is there to tell of
	}
	if _, err := p.conn.Call(ctx, vmm.MethodInfo, nil, &f); err != nil {
		return m, f, fromMachine(err)
	}
	m.CPUs, m.MemoryBytes, m.ResidentBytes = f.CPUs, f.MemoryBytes, f.ResidentBytes
	for _, r := range f.Missing {
		m.MissingBytes += r.Size
		if len(m.Missing) < maxMissing {
			m.Missing = append(m.Missing, api.Range{Address: r.GPA, Size: r.Size})
		}
	}
	m.CPU, m.DirtyTracking = f.CPU, string(f.DirtyTracking)
	var devices []vmm.Device
	for _, d := range f.Devices {
		devices = append(devices, d.Device)
	}
	if err := vmm.CheckDevices(devices); err != nil {
		return m, f, fromMachine(err)
	}
	for _, d := range f.Devices {
		m.Devices = append(m.Devices, at.describe(d))
	}
	m.Cmdline, m.Kernel, m.Clock, m.Moves, m.CountedWrong = f.Cmdline, f.Kernel, f.Clock, f.Moves, f.CountedWrong
	if !m.StartedAt.IsZero() {
		m.UptimeMS = api.Milliseconds(time.Since(m.StartedAt))
	}
	if f.ReadyMonotone != 0 {
		ms := api.Milliseconds(time.Duration(f.ReadyMonotone) - processStart)
		m.ReadyMS = &ms
	}
	return m, f, nil
}

// describe describes a device for the API: what the machine knows of it, and
// what it works on at this host.
func (a *attachments) describe(f vmm.DeviceFacts) api.Device {
	d := api.Device{Kind: f.Device.Kind, ID: f.Device.ID}
	here := a.here(f.Device)
	switch k := f.Device; k.Kind {
	case vmm.KindBlk:
		d.Queues = k.Disk.Queues
		d.Path, d.Disk = here.Disk.Path, &api.Disk{SizeBytes: k.Disk.Size, ReadOnly: k.Disk.ReadOnly, Cache: here.Disk.Cache}
		if c := f.Disk; c != nil {
			d.Reads, d.Writes, d.Flushes, d.Discards = c.Reads, c.Writes, c.Flushes, c.Discards
			d.ReadBytes, d.WrittenBytes, d.Errors = c.ReadBytes, c.WrittenBytes, c.Errors
		}
	case vmm.KindNet:
		d.Queues = k.Net.Queues
		d.Network = &api.Network{MAC: k.Net.MAC.String(), Tap: here.Net.Tap, Bridge: here.Net.Bridge, MTU: k.Net.MTU,
			Link: here.Net.Link, Macvtap: here.Net.Parent, Mode: here.Net.Mode, VLAN: here.Net.VLAN, Routed: here.Net.Routed,
			NetworkPolicy: api.NetworkPolicy(k.Net.Policy), IPs: []string{}}
		if c := f.Net; c != nil {
			d.RxPackets, d.RxBytes, d.RxDrops = c.RxPackets, c.RxBytes, c.RxDrops
			d.TxPackets, d.TxBytes, d.TxDrops = c.TxPackets, c.TxBytes, c.TxDrops
		}
		if w := f.Watch; w != nil {
			d.TxSpoofed, d.TxLimited, d.RxLimited = w.TxSpoofed, w.TxLimited, w.RxLimited
			for _, ip := range w.IPs {
				d.IPs = append(d.IPs, ip.String())
			}
		}
	case vmm.KindBalloon:
		d.Balloon = &api.Balloon{}
		if b := f.Balloon; b != nil {
			d.TargetBytes, d.ActualBytes = b.Target, b.Actual
		}
	case vmm.KindConsole:
		d.Console = &api.Console{Spec: here.Spec}
	case vmm.KindVsock:
		d.Path, d.Vsock = here.Vsock.Path, &api.Vsock{CID: k.Vsock.CID}
	}
	return d
}

// here is a device as this host has it, or as its first host did while it is not attached.
func (a *attachments) here(d vmm.Device) vmm.Device {
	if a != nil {
		for _, own := range a.devices {
			if own.Kind == d.Kind && own.ID == d.ID {
				return own
			}
		}
	}
	return d
}
