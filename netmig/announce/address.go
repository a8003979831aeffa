package announce

import (
	"net/netip"

	"github.com/ferryvmm/ferry/netmig"
)

// Address is where a guest can be reached.
type Address struct {
	MAC    netmig.MAC
	VLAN   uint16     // that the guest itself tags its frames with; 0: none
	IP     netip.Addr // without a zone; zero: none is known
	Router bool       // it is a router: hosts that hear the contrary forget it as theirs
}
