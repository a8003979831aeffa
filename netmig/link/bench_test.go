package link

import (
	"errors"
	"os"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/netmig"
)

// BenchmarkActivate measures how long a guest that runs waits for its bridge to know
// it, where no announcement has come: the goal is 1 ms with all that is around it.
func BenchmarkActivate(b *testing.B) {
	l, err := lab.New(1)
	if errors.Is(err, lab.ErrNeedsRoot) && os.Getenv("CI") != "true" {
		b.Skip(err)
	}
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	err = l.Hosts[0].Do(func() error {
		if err := l.Hosts[0].Bridge(); err != nil {
			return err
		}
		p, err := Open(netmig.Attachment{Bridge: lab.BridgeName}, nic(1), "")
		if err != nil {
			return err
		}
		defer p.Close()
		uplink, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		elsewhere := p.entry()
		elsewhere.LinkIndex = uplink.Attrs().Index
		for b.Loop() {
			b.StopTimer()
			if err := netlink.NeighSet(elsewhere); err != nil {
				return err
			}
			b.StartTimer()
			if err := p.Activate(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
