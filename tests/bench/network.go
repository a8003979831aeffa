package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/qemu"
)

// The guest's end of the wire.
const (
	tapName  = "guest"
	guestMAC = "52:54:00:12:34:56"
)

// echoWindow is how many frames are under way to the guest and back.
const echoWindow = 64

// network measures a guest's virtio-net: a tap on a bridge, and the host behind it.
func (b bench) network(ctx context.Context, r *results) (err error) {
	l, err := lab.New(1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	h := l.Hosts[0]
	if err := errors.Join(h.Bridge(), h.Tap(tapName)); err != nil {
		return err
	}
	host, err := h.BridgeMAC()
	if err != nil {
		return err
	}
	d := devices{nic: &qemu.NIC{Tap: tapName, MAC: guestMAC}}
	ways := []way{b.ferryWay(d)}
	if b.qemu.Path != "" {
		ways = append(ways, b.qemuWay("", d))
	}
	r.Network, err = b.compare(ctx, h, "virtio-net, one queue pair, a tap on a bridge", networkLoads(host), ways, func() error { return nil })
	return err
}

func networkLoads(host net.HardwareAddr) []load {
	to := fmt.Sprintf(" netpeer=%s", host)
	return []load{
		{name: "send, 60 B", words: "netload=tx netsize=60" + to, field: "tx_pps", unit: "packets/s"},
		{name: "send, 1514 B", words: "netload=tx netsize=1514" + to, field: "tx_mib_s", unit: "MiB/s"},
		{name: "send, segmented, 64 KB", words: "netload=tso netsize=65000 net=10.77.0.9/24" + to, field: "tx_mib_s", unit: "MiB/s"},
		{name: "receive, 60 B", words: "netload=rx", field: "rx_pps", unit: "packets/s", help: floods(60)},
		{name: "receive, 1514 B", words: "netload=rx", field: "rx_mib_s", unit: "MiB/s", help: floods(1514)},
		{name: "echo, 60 B, 64 under way", words: "netload=echo", field: "tx_pps", unit: "packets/s", help: echoes(60)},
	}
}

// floods sends frames of size bytes to the guest, as fast as it can.
func floods(size int) func(context.Context, *lab.Host) error {
	return func(ctx context.Context, h *lab.Host) error {
		w, err := openWire(h, size)
		if err != nil {
			return err
		}
		defer w.close()
		for ctx.Err() == nil {
			if err := w.send(); err != nil {
				return err
			}
		}
		return nil
	}
}

// echoes keeps frames of size bytes under way to the guest and back. When none comes for a while, some were lost and
// all are sent anew.
func echoes(size int) func(context.Context, *lab.Host) error {
	return func(ctx context.Context, h *lab.Host) error {
		w, err := openWire(h, size)
		if err != nil {
			return err
		}
		defer w.close()
		for n := echoWindow; ctx.Err() == nil; {
			for range n {
				if err := w.send(); err != nil {
					return err
				}
			}
			came, err := w.receive()
			if err != nil {
				return err
			}
			n = 1
			if !came {
				n = echoWindow
			}
		}
		return nil
	}
}
