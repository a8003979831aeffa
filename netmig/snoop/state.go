package snoop

import (
	"fmt"
	"slices"
	"time"

	"github.com/ferryvmm/ferry/netmig/announce"
)

// State is a table, for the host that the guest moves to. Times are told from
// when it was saved, in ns, since hosts do not agree on the time.
type State struct {
	Known []Known
}

// Known is an address of the guest.
type Known struct {
	announce.Address
	Heard time.Duration // ago
	From  time.Duration // until it is the guest's, unless somebody says that it is not; not positive: it is
	Until time.Duration // until it is forgotten
}

// Save is what is known, but for what is to be forgotten.
func (t *Table) Save() (s State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for _, e := range slices.Concat(t.four, t.six) {
		if e.until.After(now) {
			s.Known = append(s.Known, Known{Address: e.Address, Heard: now.Sub(e.heard), From: e.from.Sub(now), Until: e.until.Sub(now)})
		}
	}
	return s
}

// New makes a table that knows what was saved; nil: nothing.
func New(saved *State) (*Table, error) {
	t := new(Table)
	if saved == nil {
		return t, nil
	}
	now := time.Now()
	for _, k := range saved.Known {
		all := t.family(k.IP)
		if !usable(k.IP) || k.IP.Zone() != "" || k.MAC.Check() != nil || k.VLAN > maxVLAN || t.find(k.IP) >= 0 || len(*all) == perFamily {
			return nil, fmt.Errorf("addresses of the guest: %v of %v in VLAN %d cannot be one of %d", k.IP, k.MAC, k.VLAN, len(saved.Known))
		}
		*all = append(*all, entry{
			Address: k.Address, heard: now.Add(-bounded(k.Heard, maxLease)), from: now.Add(bounded(k.From, detection)), until: now.Add(bounded(k.Until, maxLease)),
		})
	}
	return t, nil
}

// maxVLAN is the highest that a tag can name (IEEE 802.1Q, section 9.6).
const maxVLAN = 0xfff

func bounded(d, most time.Duration) time.Duration { return min(max(d, 0), most) }
