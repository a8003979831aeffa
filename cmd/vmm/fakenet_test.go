package main

import (
	"errors"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// fakeNetwork puts the imaginary guest on the bridge that run and receive were told of: a namespace with the guest's
// address, whose kernel answers pings. It goes with this process, some time after: the name of the end on the bridge is its own.
func fakeNetwork(told string) error {
	_, bridge, found := strings.Cut(told, "bridge=")
	if !found {
		return nil
	}
	runtime.LockOSThread() // and never given back
	host, err := netns.Get()
	if err != nil {
		return err
	}
	defer host.Close()
	master, err := netlink.LinkByName(bridge)
	if err != nil {
		return err
	}
	if _, err := netns.New(); err != nil {
		return err
	}
	guest := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: "fake" + strconv.Itoa(os.Getpid()), PeerNamespace: netlink.NsFd(host)}
	guest.Name, guest.HardwareAddr = "eth0", net.HardwareAddr{0x52, 0x54, 0, 0, 0, 1}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: demoIP.Addr().AsSlice(), Mask: net.CIDRMask(demoIP.Bits(), 32)}}
	outside, err := netlink.NewHandleAt(host)
	if err != nil {
		return err
	}
	defer outside.Close()
	if err := errors.Join(netlink.LinkAdd(guest), netlink.AddrAdd(guest, address), netlink.LinkSetUp(guest)); err != nil {
		return err
	}
	peer, err := outside.LinkByName(guest.PeerName)
	if err != nil {
		return err
	}
	if err := errors.Join(outside.LinkSetMaster(peer, master), outside.LinkSetUp(peer)); err != nil {
		return err
	}
	return announce(guest)
}

// announce sends a broadcast, from which the switch learns where the guest is.
func announce(guest netlink.Link) error {
	conn, err := net.Dial("udp", "10.77.0.255:9")
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte("here"))
	return err
}
