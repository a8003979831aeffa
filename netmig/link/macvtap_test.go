package link

import (
	"errors"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/netmig/frame"
)

// pair makes a veth pair in the namespace of the test, both up, for its time.
func pair(t *testing.T, one, other string) {
	t.Helper()
	veth := &netlink.Veth{LinkAttrs: attrs(one), PeerName: other}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{one, other} {
		if err := netlink.LinkSetUp(mustFind(t, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// listener receives frames at a link.
func listener(t *testing.T, link string) (fd int) {
	t.Helper()
	all := uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: mustFind(t, link).Attrs().Index}); err != nil {
		t.Fatal(err)
	}
	return fd
}

// waitFrame waits for a frame that fits at a descriptor, whose frames begin behind so many bytes.
func waitFrame(t *testing.T, fd, header int, what string, fits func([]byte) bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		left := time.Until(deadline)
		if left <= 0 {
			t.Fatalf("%s: got no such frame", what)
		}
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, int(left.Milliseconds())+1); n < 1 || err != nil && !errors.Is(err, unix.EINTR) {
			t.Fatalf("%s: got no such frame: %v", what, err)
		}
		buf := make([]byte, 2048)
		n, err := unix.Read(fd, buf)
		if err != nil {
			t.Fatal(err)
		}
		if n >= header && fits(buf[header:n]) {
			return
		}
	}
}

// TestMacvtap sends a frame each way, and wants the link to go with its descriptors
// alone: that is all that a machine that outlives its supervisor has.
func TestMacvtap(t *testing.T) {
	inHost(t)
	pair(t, "up", "far")
	defer netlink.LinkDel(mustFind(t, "up"))
	n := nic(2)
	for _, mode := range netmig.Modes {
		p := mustOpen(t, netmig.Attachment{Parent: "up", Mode: mode}, n)
		if p.MTU != 1500 || len(p.Queues) != 2 {
			t.Errorf("%s: got an MTU of %d and %d queues; want 1500 and 2", mode, p.MTU, len(p.Queues))
		}
		far := listener(t, "far")
		sent := request(n.MAC, netip4, netip4)
		if err := p.send(sent); err != nil {
			t.Fatal(err)
		}
		waitFrame(t, far, 0, mode+": from the guest", func(b []byte) bool { return string(b) == string(sent) })
		answer := append(frame.AppendEthernet(nil, n.MAC, netmig.MAC{2, 0, 0, 0, 0, 1}, 0, frame.TypeARP), make([]byte, 60-frame.HeaderSize)...)
		if err := unix.Sendto(far, answer, 0, &unix.SockaddrLinklayer{Ifindex: mustFind(t, "far").Attrs().Index}); err != nil {
			t.Fatal(err)
		}
		var got []byte
		for until, buf := time.Now().Add(10*time.Second), make([]byte, 2048); string(got) != string(answer); { // the far end speaks for itself, too
			var err error
			if got, err = p.receive(buf, until); err != nil || got == nil {
				t.Fatalf("%s: for the guest: got %x, %v; want %x", mode, got, err, answer)
			}
		}
		again, err := Open(netmig.Attachment{Parent: "up", Mode: mode}, n, "")
		if err == nil {
			t.Errorf("%s: the same address twice: got %+v; want a refusal", mode, again)
		}
		if err := p.Retire(); err != nil {
			t.Errorf("%s: retire: %v", mode, err)
		}
		p.inside.Close() // as when the supervisor dies
		p.inside = nil
		node := p.Queues[0].Name()
		mustClose(t, p)
		gone(t, node, p.index)
	}
}

// gone waits until a macvtap has gone: the kernel ends namespaces in its own time.
func gone(t *testing.T, name string, index int) {
	t.Helper()
	path := "/dev/tap" + strconv.Itoa(index)
	for range 1000 {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return
		}
		time.Sleep(10 * time.Millisecond) // nothing says so
	}
	t.Errorf("%s: got it still there; want it gone with its queues", name)
}

func TestMacvtapRefusals(t *testing.T) {
	inHost(t)
	pair(t, "up", "far")
	defer netlink.LinkDel(mustFind(t, "up"))
	own := nic(1)
	copy(own.MAC[:], mustFind(t, "up").Attrs().HardwareAddr)
	wide := nic(1)
	wide.MTU = 9000
	for _, tt := range []struct {
		name string
		at   netmig.Attachment
		nic  netmig.NIC
		code string
	}{
		{"no parent", netmig.Attachment{Parent: "nobody", Mode: "bridge"}, nic(1), netmig.CodeAbsent},
		{"the parent's own address", netmig.Attachment{Parent: "up", Mode: "bridge"}, own, netmig.CodeTaken},
		{"a larger MTU", netmig.Attachment{Parent: "up", Mode: "bridge"}, wide, netmig.CodeMismatch},
	} {
		p, err := Open(tt.at, tt.nic, "")
		if e, ok := errors.AsType[*netmig.Error](err); !ok || e.Code != tt.code || e.Remedy == "" {
			t.Errorf("%s: got %+v, %v; want %s and a remedy", tt.name, p, err, tt.code)
		}
	}
	if flags := mustFind(t, "up").Attrs().Flags; flags&net.FlagUp == 0 {
		t.Errorf("the parent: got %v; want it as before", flags)
	}
}
