package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Forwarded is a change of where a bridge sends what is for an address.
type Forwarded struct {
	At   time.Duration // as Now says it, when it was heard of
	Port string        // the link that the entry points to; empty: it is gone
}

// Forwarding watches the entries of one address in the bridges of a namespace.
// Its methods may be called from several goroutines.
type Forwarding struct {
	file  *os.File
	mac   net.HardwareAddr
	names map[int]string // links by number; only read's
	nl    *netlink.Handle
	group sync.WaitGroup

	mu      sync.Mutex // guards what follows
	changes []Forwarded
	changed chan struct{} // closed at the next change; nil: nobody waits
}

// Forwarding watches the host's bridge.
func (h *Host) Forwarding(mac net.HardwareAddr) (*Forwarding, error) {
	return watchForwarding(h.ns, h.nl, mac)
}

// Forwarding watches the bridge that joins the hosts: its ports are named as
// [Host.Port] says.
func (l *Lab) Forwarding(mac net.HardwareAddr) (*Forwarding, error) {
	return watchForwarding(l.fabric, l.nl, mac)
}

// Port is the name of the port, of the bridge that joins the hosts, that leads to
// this one.
func (h *Host) Port() string { return h.port.Attrs().Name }

func watchForwarding(ns netns.NsHandle, nl *netlink.Handle, mac net.HardwareAddr) (*Forwarding, error) {
	f := &Forwarding{mac: mac, nl: nl, names: make(map[int]string)}
	err := inNamespace(ns, func() error {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		f.file = os.NewFile(uintptr(fd), "forwarding")
		if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (unix.RTNLGRP_NEIGH - 1)}); err != nil {
			return errors.Join(err, f.file.Close())
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("lab: watch where bridges send what is for %v: %w", mac, err)
	}
	f.group.Go(f.read)
	return f, nil
}

// read takes messages until the socket is closed.
func (f *Forwarding) read() {
	for b := make([]byte, 64<<10); ; {
		n, err := f.file.Read(b)
		at := Now()
		if errors.Is(err, unix.ENOBUFS) {
			continue // more changes than fit: of other addresses, as a rule
		}
		if err != nil {
			return
		}
		messages, err := syscall.ParseNetlinkMessage(b[:n])
		if err != nil {
			continue
		}
		for _, m := range messages {
			f.take(m, at)
		}
	}
}

// take notes a change of the address's entry.
func (f *Forwarding) take(m syscall.NetlinkMessage, at stamp) {
	if m.Header.Type != unix.RTM_NEWNEIGH && m.Header.Type != unix.RTM_DELNEIGH {
		return
	}
	n, err := netlink.NeighDeserialize(m.Data)
	if err != nil || n.Family != unix.AF_BRIDGE || !bytes.Equal(n.HardwareAddr, f.mac) || n.MasterIndex == 0 {
		return
	}
	change := Forwarded{At: at}
	if m.Header.Type == unix.RTM_NEWNEIGH {
		change.Port = f.name(n.LinkIndex)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if k := len(f.changes); k > 0 && f.changes[k-1].Port == change.Port {
		return // the entry says the same as before
	}
	f.changes = append(f.changes, change)
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// name finds out what a link is called.
func (f *Forwarding) name(index int) string {
	if name, ok := f.names[index]; ok {
		return name
	}
	link, err := f.nl.LinkByIndex(index)
	if err != nil {
		return fmt.Sprintf("link %d", index) // it is gone by now
	}
	f.names[index] = link.Attrs().Name
	return f.names[index]
}

// Changes returns what has changed so far.
func (f *Forwarding) Changes() []Forwarded {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Forwarded(nil), f.changes...)
}

// Wait returns the first change at or after start, of those past and those to
// come, that match accepts.
func (f *Forwarding) Wait(ctx context.Context, start time.Duration, match func(Forwarded) bool) (Forwarded, error) {
	for {
		f.mu.Lock()
		for _, c := range f.changes {
			if c.At >= start && match(c) {
				f.mu.Unlock()
				return c, nil
			}
		}
		if f.changed == nil {
			f.changed = make(chan struct{})
		}
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return Forwarded{}, fmt.Errorf("lab: wait for a bridge to learn %v: %w", f.mac, context.Cause(ctx))
		}
	}
}

// Close ends it.
func (f *Forwarding) Close() error {
	err := f.file.Close()
	f.group.Wait()
	return err
}
