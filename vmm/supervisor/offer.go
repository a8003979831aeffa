package supervisor

import (
	"context"
	"errors"
	"fmt"

	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vcpu"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
	"github.com/ferryvmm/ferry/vmm/supervisor/doctor"
)

// Probe asks the receiver at an address what its host can take, for [doctor.Peer]. It reserves nothing there. An address that is not
// loopback needs tls, the folder of this host's identity, or insecure, as for a move.
func Probe(ctx context.Context, address, tls string, insecure bool) ([]byte, error) {
	at, err := newPlace(address, tls, insecure)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	conn, err := at.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	offer, err := migration.Probe(ctx, conn)
	if err != nil {
		return nil, api.Errorf("probe", "use vmm of the same version on both hosts", "%v does not say what it can take: %v", at.address, err)
	}
	return offer, nil
}

// offer tells a peer what this host can take.
func (a *acceptor) offer(conn stream) error {
	a.mu.Lock()
	busy := a.full || a.current != nil
	a.mu.Unlock()
	o := doctor.Offer{Program: api.Version(), FreeBytes: capacity(), HugeBytes: freeHugePages(), Busy: busy}
	var files handOver
	o.NoPull = openUserfault(&files)
	files.close()
	cpu, err := HostCPU()
	if err == nil {
		o.CPU, err = cpu.Encode()
	}
	if err != nil {
		return err
	}
	b, err := o.Encode()
	if err != nil {
		return err
	}
	return migration.WriteOffer(conn, b)
}

// HostCPU is the most that a guest can have on this host.
func HostCPU() (_ vcpu.Model, err error) {
	sys, err := kvm.Open()
	if err != nil {
		return vcpu.Model{}, err
	}
	defer func() { err = errors.Join(err, sys.Close()) }()
	m, err := vcpu.HostModel(sys, 1)
	if err != nil {
		return m, fmt.Errorf("KVM: %w", err)
	}
	return m, nil
}
