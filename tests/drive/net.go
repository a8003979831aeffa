package drive

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/ferryvmm/ferry/internal/lab"
)

// NetWorld is two hosts with a bridge each, on a switch, and a client there.
type NetWorld struct {
	*World // of the two hosts' sites
	Client *lab.Host

	before [2][]string // what was set up at each
}

// Guest's address in a NetWorld, and where its device is connected.
var (
	NetGuest  = netip.MustParseAddr("10.77.0.100")
	NetGuest6 = netip.MustParseAddr("fd77:0:0:77::100")
	NetBridge = []string{"--net", "eth=bridge=" + lab.BridgeName}
)

// NewNetWorld makes one. It needs root.
func NewNetWorld(vmm string) (*NetWorld, error) {
	w, err := NewWorld(vmm, 3)
	if err != nil {
		return nil, err
	}
	// The client's site is not needed: its namespace is.
	n := &NetWorld{World: w, Client: w.Lab.Hosts[2]}
	err = w.Sites[2].Close()
	w.Sites = w.Sites[:2]
	for _, s := range w.Sites {
		err = errors.Join(err, s.Host.Bridge())
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return n, n.mark()
}

// mark remembers what is set up at the hosts, for [NetWorld.Leftovers].
func (n *NetWorld) mark() (err error) {
	for i, s := range n.Sites {
		n.before[i], err = s.Host.Configured()
		if err != nil {
			return err
		}
	}
	return nil
}

// Leftovers lists, besides what is left on the sites, what is set up in the
// hosts' networks and was not before the first guest came.
func (n *NetWorld) Leftovers() ([]string, error) {
	left, err := n.World.Leftovers()
	if err != nil {
		return nil, err
	}
	for i, s := range n.Sites {
		after, err := s.Host.Configured()
		if err != nil {
			return nil, err
		}
		for _, line := range after {
			if _, found := slices.BinarySearch(n.before[i], line); !found {
				left = append(left, fmt.Sprintf("host %d: %s", i, line))
			}
		}
	}
	return left, nil
}
