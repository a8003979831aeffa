package netmig

import "net/netip"

// Facts are what a host says of what an attachment names, before anything is
// done there.
type Facts struct {
	Link     *Link     // the tap, the bridge or the parent; nil: there is none of that name
	Bridge   *Link     // the bridge that this is, or whose port it is; nil: none
	Filters  bool      // the bridge filters VLANs
	Stations []Station // where the bridge has the guest's address, but for the link itself
	Ways     []Way     // to the guest's addresses, if it is routed
}

// LinkKind is what a link is, as far as it matters here.
type LinkKind string

// Kinds of links. Others are called as the kernel does.
const (
	KindTap    LinkKind = "tap"
	KindBridge LinkKind = "bridge"
)

// Link is a network link of a host.
type Link struct {
	Name       string
	Kind       LinkKind
	MTU        int // bytes
	Up         bool
	MAC        MAC
	MultiQueue bool // of a tap: it may have several
	Taken      bool // of a tap: a process has a queue of it
}

// Station is the guest's address as a bridge of the host has it.
type Station struct {
	Port  string // that it is behind
	Tap   bool   // the port is a tap, so the station is on this host
	Host  bool   // the address is the port's own
	Alias string // of the port
}

// Way is how a host reaches an address of a guest that is to be routed.
type Way struct {
	Addr     netip.Addr
	Forwards bool   // the host forwards packets of its family
	Local    bool   // it is the host's own
	Uplink   string // the link whose network it belongs to; empty: none
	Proxies  bool   // the host may answer for others there, as IPv6 wants it allowed
}
