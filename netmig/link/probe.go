package link

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/netmig/frame"
)

// When a new guest's addresses are asked for, and how long an answer may take, from
// the first question on: a network that loses one still answers the next.
var (
	askAt     = []time.Duration{0, 30 * time.Millisecond, 90 * time.Millisecond}
	askWithin = 200 * time.Millisecond
)

// Probe refuses a new guest whose addresses are somebody else's on the network that
// it joins: those of IP that are known, and that of its device if given says that a
// person chose it. It asks by the port itself, in the name of an address that nobody
// has, so that no bridge takes us for the guest. The error is an *netmig.Error.
// Precondition: nobody else reads or writes the port's queues yet.
func (p *Port) Probe(ctx context.Context, nic netmig.NIC, given bool) error {
	ips := nic.IPs()
	if given { // whoever has the address of the device most likely has this one
		ips = append(ips, nic.MAC.LinkLocal())
	}
	if len(ips) == 0 || p.plan.Routes != nil { // behind a tap that is routed there is nobody
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	from := netmig.NewMAC()
	if p.plan.Make == netmig.MakeMacvtap {
		from = nic.MAC // no other gets an answer
	}
	began := time.Now()
	for _, at := range append(askAt, askWithin) {
		if err := p.listen(ctx, began.Add(at), from, nic, ips, given); err != nil {
			return err
		}
		for _, a := range ips {
			if err := p.send(wanted(from, a)); err != nil {
				return failed(p.Tap, "carry a question for "+a.String(), err)
			}
		}
	}
	return nil
}

// send writes a frame to the network.
func (p *Port) send(b []byte) error {
	_, err := p.Queues[0].Write(append(make([]byte, headerSize), b...))
	return err
}

// listen looks at what comes until then.
func (p *Port) listen(ctx context.Context, until time.Time, from netmig.MAC, nic netmig.NIC, ips []netip.Addr, given bool) error {
	buf := make([]byte, headerSize+ndSize) // the rest of a longer frame says nothing
	for ctx.Err() == nil {
		b, err := p.receive(buf, until)
		if err != nil || b == nil {
			return err
		}
		if given && len(b) >= frame.HeaderSize && netmig.MAC(b[6:]) == nic.MAC && nic.MAC != from {
			return taken(nic.ID, "MAC address "+nic.MAC.String(), nic.MAC)
		}
		for _, a := range ips {
			if who, yes := has(b, from, a); yes {
				return taken(nic.ID, "IP address "+a.String(), who)
			}
		}
	}
	return nil
}

// receive returns the beginning of the next frame, nil when the time is over.
func (p *Port) receive(buf []byte, until time.Time) ([]byte, error) {
	fds := make([]unix.PollFd, len(p.Queues))
	for i, q := range p.Queues {
		fds[i] = unix.PollFd{Fd: int32(descriptor(q)), Events: unix.POLLIN}
	}
	for {
		left := time.Until(until)
		if left <= 0 {
			return nil, nil
		}
		if _, err := unix.Poll(fds, int(left.Milliseconds())+1); errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil {
			return nil, failed(p.Tap, "be listened to", err)
		}
		for _, f := range fds {
			if f.Revents == 0 {
				continue
			}
			n, err := unix.Read(int(f.Fd), buf)
			if err != nil {
				return nil, failed(p.Tap, "be listened to", err)
			}
			return buf[min(headerSize, n):n], nil
		}
	}
}

// descriptor is a file's, without changing how it blocks.
func descriptor(f *os.File) (fd uintptr) {
	raw, err := f.SyscallConn()
	if err == nil {
		err = raw.Control(func(n uintptr) { fd = n })
	}
	if err != nil { // closed: poll says so
		return ^uintptr(0)
	}
	return fd
}

func taken(id, what string, who netmig.MAC) error {
	return &netmig.Error{Code: netmig.CodeTaken, Message: fmt.Sprintf("network %s: the %s is in use on this network, by %v", id, what, who),
		Remedy: "give the guest another, or end who has it"}
}
