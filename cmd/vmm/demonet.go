package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// demoIP is the guest's address, on the network of the namespaces.
var demoIP = netip.MustParsePrefix("10.77.0.100/24")

// tapDriver must be there for a guest to have a network.
const tapDriver = "/dev/net/tun"

// makeNetwork puts the two hosts' bridges between a switch and the guest. Without namespaces, or without taps, there is
// no network.
func (d *demo) makeNetwork() error {
	if d.lab == nil {
		return nil
	}
	if _, err := os.Stat(tapDriver); err != nil {
		d.say("The guest has no network, for this host has no taps (%v).", err)
		return nil
	}
	for _, h := range d.hosts {
		if err := h.inside.Bridge(); err != nil {
			return err
		}
	}
	d.client = d.lab.Hosts[len(d.hosts)]
	d.say("A client (%s) is in a third one. The guest is %s, wherever it runs.", d.client.Addr, demoIP.Addr())
	return nil
}

// network is what run and receive are told of it.
func (d *demo) network() []string {
	if d.client == nil {
		return nil
	}
	return []string{"--net", "eth=bridge=" + lab.BridgeName}
}

// guestOptions is what the guest is told of it.
func (d *demo) guestOptions() string {
	if d.client == nil {
		return ""
	}
	return " net=" + demoIP.String()
}

// startClient has the client ask the guest, and returns once it is answered.
func (d *demo) startClient(ctx context.Context) (err error) {
	if d.client == nil {
		return nil
	}
	d.ping, err = lab.StartPing(lab.PingConfig{From: d.client, To: demoIP.Addr(), Over: lab.ICMP})
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, stepWithin)
	defer stop()
	if err := d.ping.Begin(ctx); err != nil {
		return fmt.Errorf("the guest does not answer the client: %w", err)
	}
	return nil
}

// stopClient ends the questions, and tells what became of them.
func (d *demo) stopClient(result *demoResult) {
	if d.ping == nil {
		return
	}
	r := d.ping.Stop()
	d.ping = nil
	result.PacketsSent, result.PacketsLost, result.PacketsDuplicated = r.Sent, r.Lost, r.Duplicated
	result.LongestSilenceMS = api.Milliseconds(r.Silence)
	d.say("Of %s that the client sent it, one each millisecond, %d got lost, %d were answered twice; the longest silence was %s.",
		plural(r.Sent, "packet"), r.Lost, r.Duplicated, millisText(result.LongestSilenceMS))
}
