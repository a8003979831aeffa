package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// message is a request to the kernel's rtnetlink(7): a header, a body, attributes.
type message []byte

// Offsets in struct nlmsghdr.
const (
	lengthAt = 0
	typeAt   = 4
	flagsAt  = 6
)

// newMessage begins a request of this kind, with flags besides the usual and a body of fixed size.
func newMessage(kind, flags uint16, body []byte) message {
	m := make(message, unix.NLMSG_HDRLEN, 128)
	binary.NativeEndian.PutUint16(m[typeAt:], kind)
	binary.NativeEndian.PutUint16(m[flagsAt:], unix.NLM_F_REQUEST|unix.NLM_F_ACK|flags)
	return append(m, body...)
}

// attribute appends one, padded to 4 bytes.
func (m message) attribute(kind uint16, value []byte) message {
	m = binary.NativeEndian.AppendUint16(m, uint16(unix.SizeofRtAttr+len(value)))
	m = binary.NativeEndian.AppendUint16(m, kind)
	m = append(m, value...)
	for len(m)%unix.NLMSG_ALIGNTO != 0 {
		m = append(m, 0)
	}
	return m
}

// errAnswer says that the kernel's answer is not one. The caller should give up.
var errAnswer = errors.New("netlink: not an answer")

// send does what the message says, and returns the kernel's error.
func (m message) send() error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	binary.NativeEndian.PutUint32(m[lengthAt:], uint32(len(m)))
	if err := unix.Sendto(fd, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return err
	}
	return parseAnswer(answer[:n])
}

// parseAnswer reads an NLMSG_ERROR message.
func parseAnswer(b []byte) error {
	if len(b) < unix.NLMSG_HDRLEN+4 || binary.NativeEndian.Uint16(b[typeAt:]) != unix.NLMSG_ERROR {
		return errAnswer
	}
	if code := int32(binary.NativeEndian.Uint32(b[unix.NLMSG_HDRLEN:])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}

// addAddress gives the interface an address, takes it up, and routes what is not local to the gateway.
func addAddress(name string, a address) error {
	index, err := interfaceIndex(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, step := range []struct {
		what    string
		message message
	}{
		{"address", addressMessage(index, a.prefix)},
		{"up", upMessage(index)},
		{"gateway", routeMessage(index, a.gateway)},
	} {
		if step.message == nil {
			continue
		}
		if err := step.message.send(); err != nil {
			return fmt.Errorf("%s: %s: %w", name, step.what, err)
		}
	}
	return nil
}

// takeUp takes an interface up. The kernel gives loopback its addresses then.
func takeUp(name string) error {
	index, err := interfaceIndex(name)
	if err == nil {
		err = upMessage(index).send()
	}
	if err != nil {
		return fmt.Errorf("%s: up: %w", name, err)
	}
	return nil
}

func interfaceIndex(name string) (uint32, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request); err != nil {
		return 0, err
	}
	return request.Uint32(), nil
}

func family(a netip.Addr) byte {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// addressMessage has a struct ifaddrmsg.
func addressMessage(index uint32, p netip.Prefix) message {
	body := []byte{family(p.Addr()), byte(p.Bits()), unix.IFA_F_NODAD, unix.RT_SCOPE_UNIVERSE}
	body = binary.NativeEndian.AppendUint32(body, index)
	return newMessage(unix.RTM_NEWADDR, unix.NLM_F_CREATE, body).
		attribute(unix.IFA_LOCAL, p.Addr().AsSlice()).
		attribute(unix.IFA_ADDRESS, p.Addr().AsSlice())
}

// upMessage has a struct ifinfomsg.
func upMessage(index uint32) message {
	body := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(body[4:], index)
	binary.NativeEndian.PutUint32(body[8:], unix.IFF_UP)
	binary.NativeEndian.PutUint32(body[12:], unix.IFF_UP)
	return newMessage(unix.RTM_NEWLINK, 0, body)
}

// routeMessage has a struct rtmsg; nil without a gateway.
func routeMessage(index uint32, gateway netip.Addr) message {
	if !gateway.IsValid() {
		return nil
	}
	body := make([]byte, unix.SizeofRtMsg)
	body[0] = family(gateway)
	body[4] = unix.RT_TABLE_MAIN
	body[5] = unix.RTPROT_BOOT
	body[7] = unix.RTN_UNICAST
	return newMessage(unix.RTM_NEWROUTE, unix.NLM_F_CREATE, body).
		attribute(unix.RTA_GATEWAY, gateway.AsSlice()).
		attribute(unix.RTA_OIF, binary.NativeEndian.AppendUint32(nil, index))
}
