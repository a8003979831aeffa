package snoop

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/netmig/announce"
)

// perFamily is how many addresses of IPv4, and of IPv6, are known at most. The
// one that was heard of the longest ago makes room.
const perFamily = 16

// How long what was learnt is believed.
const (
	lifetime  = time.Hour            // an address that the guest used
	maxLease  = 366 * 24 * time.Hour // one that it was leased, if that is longer
	detection = time.Second          // until an address that the guest asks for is its own (RFC 4862, section 5.1)
)

// entry is an address of the guest.
type entry struct {
	announce.Address
	heard time.Time // last
	from  time.Time // it is the guest's, unless somebody says that it is not
	until time.Time // it is forgotten
}

// Table is what is known of a guest's addresses. All may be called by several
// goroutines at once.
type Table struct {
	mu      sync.Mutex // guards what follows; taken only for frames that tell something
	four    []entry    // of IPv4
	six     []entry    // of IPv6
	pending [requests]request
	next    int // of pending, to be overwritten
}

// Addresses are those that are the guest's now, the last heard of first.
func (t *Table) Addresses() []announce.Address {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	var known []entry
	for _, e := range slices.Concat(t.four, t.six) {
		if !e.from.After(now) && e.until.After(now) {
			known = append(known, e)
		}
	}
	slices.SortStableFunc(known, func(a, b entry) int { return b.heard.Compare(a.heard) })
	var all []announce.Address
	for _, e := range known {
		all = append(all, e.Address)
	}
	return all
}

// family is the part of the table for an address. Precondition: mu is held.
func (t *Table) family(a netip.Addr) *[]entry {
	if a.Is4() {
		return &t.four
	}
	return &t.six
}

// claim is that an address is the guest's.
type claim struct {
	announce.Address
	life      time.Duration // how long it is believed
	tentative bool          // the guest only asks whether it can have it, unless it has it
	router    bool          // whether the guest is a router is part of it
}

// learn notes a claim.
func (t *Table) learn(c claim) {
	if !usable(c.IP) || c.MAC.Check() != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	e := entry{Address: c.Address, heard: now, from: now, until: now.Add(c.life)}
	if c.tentative {
		e.from = now.Add(detection)
	}
	all := t.family(c.IP)
	if i := t.find(c.IP); i >= 0 {
		if old := (*all)[i]; old.MAC == c.MAC && old.VLAN == c.VLAN {
			e.Router = e.Router || old.Router && !c.router
			e.until = later(e.until, old.until)
			if e.from.After(old.from) {
				e.from = old.from
			}
		}
		(*all)[i] = e
		return
	}
	if len(*all) < perFamily {
		*all = append(*all, e)
		return
	}
	oldest := 0
	for i, o := range *all {
		if o.heard.Before((*all)[oldest].heard) {
			oldest = i
		}
	}
	(*all)[oldest] = e
}

// find is where an address is in its family; -1: nowhere. Precondition: mu is held.
func (t *Table) find(a netip.Addr) int {
	return slices.IndexFunc(*t.family(a), func(e entry) bool { return e.IP == a })
}

// forget takes away an address that mac has given up.
func (t *Table) forget(a netip.Addr, mac netmig.MAC) {
	t.remove(a, func(e entry) bool { return e.MAC == mac })
}

// contest takes away an address that the guest asks for, while another has it.
func (t *Table) contest(a netip.Addr, by netmig.MAC) {
	now := time.Now()
	t.remove(a, func(e entry) bool { return e.MAC != by && e.from.After(now) })
}

func (t *Table) remove(a netip.Addr, which func(entry) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.family(a)
	if i := t.find(a); i >= 0 && which((*all)[i]) {
		*all = slices.Delete(*all, i, i+1)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// usable tells whether an address can be a host's, and be announced.
func usable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && !a.Is4In6() &&
		a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
