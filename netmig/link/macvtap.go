package link

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/netmig"
)

// A macvtap stays until it is removed, unlike a tap. So it is made in a network
// namespace that has nothing else, and that is there only for the descriptors of
// its queues: it goes with the last of them, however the processes end.

// modes of a macvtap.
var modes = map[string]netlink.MacvlanMode{
	"bridge": netlink.MACVLAN_MODE_BRIDGE, "private": netlink.MACVLAN_MODE_PRIVATE,
	"vepa": netlink.MACVLAN_MODE_VEPA, "passthru": netlink.MACVLAN_MODE_PASSTHRU,
}

// makeMacvtap makes what the plan says on its parent, and opens its queues.
func (p *Port) makeMacvtap() error {
	parent, err := netlink.LinkByName(p.plan.Parent)
	if err != nil {
		return failed(p.plan.Parent, "be found", err)
	}
	id := freshID()
	p.Tap, p.index = fmt.Sprintf("ferry%x", id), int(id)
	return elsewhere(func(here, there netns.NsHandle) error {
		outside, err := netlink.NewHandleAt(here, unix.NETLINK_ROUTE)
		if err != nil {
			return failed(p.Tap, "be made", err)
		}
		defer outside.Close()
		if p.inside, err = netlink.NewHandleAt(there, unix.NETLINK_ROUTE); err != nil {
			return failed(p.Tap, "be made", err)
		}
		if err := p.addMacvtap(outside, parent, there); err != nil {
			return err
		}
		// Opened in here, each queue keeps this namespace.
		return p.openMacvtap()
	})
}

func (p *Port) addMacvtap(outside *netlink.Handle, parent netlink.Link, there netns.NsHandle) error {
	c := p.plan.Created
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Index, attrs.ParentIndex = p.Tap, p.index, parent.Attrs().Index
	attrs.HardwareAddr, attrs.MTU, attrs.TxQLen = net.HardwareAddr(c.Address[:]), c.LinkMTU, c.QueueLength
	attrs.NumRxQueues, attrs.NumTxQueues = p.plan.Queues, p.plan.Queues
	attrs.Namespace = netlink.NsFd(there)
	link := &netlink.Macvtap{Macvlan: netlink.Macvlan{LinkAttrs: attrs, Mode: modes[c.Mode]}}
	err := outside.LinkAdd(link)
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return &netmig.Error{Code: netmig.CodeAbsent, Message: "this host has no macvtap driver", Remedy: "load it (modprobe macvtap), or use a bridge", Err: err}
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EINVAL):
		return &netmig.Error{Code: netmig.CodeMismatch, Message: fmt.Sprintf("%s takes no macvtap with mode=%s", c.Parent, c.Mode), Err: err,
			Remedy: "name a link that is no port of a bridge, and use passthru only for the one macvtap of a link"}
	case err != nil:
		return failed(p.Tap, "be made on "+c.Parent, err)
	}
	if err := ignoring(p.inside.LinkSetIP6AddrGenMode(link, noAddress), unix.EAFNOSUPPORT); err != nil {
		return failed(p.Tap, "be kept without an IPv6 address", err)
	}
	// What a guest listens to is its own affair: without, it gets no neighbour discovery.
	if err := p.inside.LinkSetAllmulticastOn(link); err != nil {
		return failed(p.Tap, "get multicast", err)
	}
	err = p.inside.LinkSetUp(link)
	if errors.Is(err, unix.EADDRINUSE) || errors.Is(err, unix.EBUSY) {
		return &netmig.Error{Code: netmig.CodeTaken, Message: fmt.Sprintf("the guest's address %v is in use at another macvtap on %s", p.plan.Guest, c.Parent),
			Remedy: "end the guest that has it; a copy of a guest needs a mac= of its own", Err: err}
	}
	if err != nil {
		return failed(p.Tap, "be brought up", err)
	}
	return nil
}

// openMacvtap opens the queues by the node that devtmpfs has of the link, and makes
// sure that they are this link's.
func (p *Port) openMacvtap() error {
	path := fmt.Sprintf("/dev/tap%d", p.index)
	for range p.plan.Queues {
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		switch {
		case errors.Is(err, unix.ENOENT):
			return &netmig.Error{Code: netmig.CodeAbsent, Message: fmt.Sprintf("there is no %s for the macvtap", path), Err: err,
				Remedy: "mount devtmpfs at /dev, so that the kernel's nodes appear there; in a container, use tap=NAME"}
		case err != nil:
			return explain(p.Tap, &os.PathError{Op: "open", Path: path, Err: err})
		}
		queue := os.NewFile(uintptr(fd), p.Tap)
		p.Queues = append(p.Queues, queue)
		if _, err := attach(fd, p.Tap, unix.IFF_MULTI_QUEUE); err != nil {
			return explain(p.Tap, err)
		}
		got, err := unix.NewIfreq(p.Tap)
		if err == nil {
			err = unix.IoctlIfreq(fd, unix.TUNGETIFF, got)
		}
		if err == nil && got.Name() != p.Tap {
			err = fmt.Errorf("%s is of %s", path, got.Name())
		}
		if err != nil {
			return failed(p.Tap, "be opened", err)
		}
	}
	return nil
}

// freshID is a random index for a link, in its name, too: the names of nodes of
// devtmpfs are the same for all namespaces.
func freshID() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint32(b[:])>>2 | 1<<29
}

// elsewhere runs fn in a network namespace of its own, which goes when nothing that
// fn has made there is in use any more. The thread that cannot come back from there ends.
func elsewhere(fn func(here, there netns.NsHandle) error) error {
	done := make(chan error, 1)
	here, err := netns.Get()
	if err != nil {
		return failed("the network namespace", "be found", err)
	}
	defer here.Close()
	go func() {
		runtime.LockOSThread()
		err := netns.Set(here)
		if err == nil {
			var there netns.NsHandle
			if there, err = netns.New(); err == nil {
				err = fn(here, there)
				there.Close()
			} else {
				err = failed("a network namespace", "be made", err)
			}
		}
		if netns.Set(here) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}
