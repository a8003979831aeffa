package main

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestMessages wants the bytes of rtnetlink(7), written down by hand. Their length is filled in by send.
func TestMessages(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Fatal("the guest is little-endian")
	}
	for _, tt := range []struct {
		name string
		got  message
		want string
	}{
		{
			"address", addressMessage(2, netip.MustParsePrefix("10.0.0.2/24")),
			"00000000 1400 0504 00000000 00000000" + "02 18 02 00 02000000" +
				"0800 0200 0a000002" + "0800 0100 0a000002",
		},
		{
			"up", upMessage(2),
			"00000000 1000 0500 00000000 00000000" + "00000000 02000000 01000000 01000000",
		},
		{
			"gateway", routeMessage(2, netip.MustParseAddr("10.0.0.1")),
			"00000000 1800 0504 00000000 00000000" + "02000000 fe030001 00000000" +
				"0800 0500 0a000001" + "0800 0400 02000000",
		},
		{"no gateway", routeMessage(2, netip.Addr{}), ""},
	} {
		want := make([]byte, 0, 64)
		for _, c := range []byte(tt.want) {
			if c != ' ' {
				want = append(want, c)
			}
		}
		if diff := cmp.Diff(string(want), hex.EncodeToString(tt.got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	if got := message(nil).attribute(1, []byte{7}); len(got) != 8 {
		t.Errorf("an attribute of one byte: got %d bytes; want 8", len(got))
	}
}

func TestKernelRefusesMessage(t *testing.T) {
	if err := upMessage(1 << 30).send(); !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EPERM) {
		t.Errorf("an interface that does not exist: got %v; want ENODEV, or EPERM without the right to ask", err)
	}
}

// TestTakeUp wants loopback up in a network of its own, where it is down at first, and usable.
func TestTakeUp(t *testing.T) {
	runtime.LockOSThread() // never unlocked: the thread ends with its network
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("a network of its own: %v; run as root", err)
	}
	reach := func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: echoPort})
	}
	if err := reach(); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("before: got %v from 127.0.0.1; want ENETUNREACH", err)
	}
	if err := takeUp("lo"); err != nil {
		t.Error(err)
	}
	if err := reach(); err != nil {
		t.Errorf("got %v from 127.0.0.1; want it reached", err)
	}
	if err := takeUp("nothing"); !errors.Is(err, unix.ENODEV) {
		t.Errorf("an interface that does not exist: got %v; want ENODEV", err)
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add([]byte{36, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xed, 0xff, 0xff, 0xff})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := parseAnswer(b); err == nil && len(b) < 20 {
			t.Errorf("got success from %d bytes", len(b))
		}
	})
}
