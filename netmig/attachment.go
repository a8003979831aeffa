package netmig

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Attachment is where a host connects a network device of a guest: exactly one
// of Tap, Bridge and Parent is set.
type Attachment struct {
	Tap    string // the tap to take over, or to create
	Bridge string // the bridge that a tap is created on
	Parent string `cbor:",omitempty"` // the link that a macvtap is created on
	Mode   string `cbor:",omitempty"` // of the macvtap: one of Modes
	VLAN   int    `cbor:",omitempty"` // of the port of the bridge, untagged; 0: as the bridge has it
	Routed bool   `cbor:",omitempty"` // the host routes to the tap, which is on no bridge
}

// Modes are those of a macvtap, the default first (linux/if_link.h, MACVLAN_MODE).
var Modes = []string{"bridge", "private", "vepa", "passthru"}

// maxVLAN is the highest number of a VLAN that a port can be in (802.1Q, 9.6).
const maxVLAN = 4094

// errSeveral is said of an attachment to none or to several links.
var errSeveral = errors.New("want one of tap=, bridge= and macvtap=")

// Check tells whether an attachment that a peer or a file describes can be.
func (a Attachment) Check() error {
	names := slices.DeleteFunc([]string{a.Tap, a.Bridge, a.Parent}, func(s string) bool { return s == "" })
	switch {
	case len(names) != 1:
		return errSeveral
	case a.VLAN != 0 && a.Bridge == "":
		return errors.New("vlan= is for a port of a bridge: give bridge=")
	case a.Routed && a.Tap == "":
		return errors.New("route is for a tap: give tap=")
	case a.Mode != "" && a.Parent == "":
		return errors.New("mode= is of a macvtap: give macvtap=")
	case a.Parent != "" && !slices.Contains(Modes, a.Mode):
		return fmt.Errorf("mode %q is not one of %s", a.Mode, strings.Join(Modes, ", "))
	}
	if err := checkVLAN(a.VLAN); a.VLAN != 0 && err != nil {
		return err
	}
	return checkName(names[0])
}

func checkVLAN(n int) error {
	if n < 1 || n > maxVLAN {
		return fmt.Errorf("not between 1 and %d", maxVLAN)
	}
	return nil
}

// String describes it for people.
func (a Attachment) String() string {
	s := "tap " + a.Tap
	switch {
	case a.Bridge != "":
		s = "bridge " + a.Bridge
	case a.Parent != "":
		s = fmt.Sprintf("macvtap on %s (%s)", a.Parent, a.Mode)
	}
	if a.VLAN != 0 {
		s += fmt.Sprintf(" VLAN %d", a.VLAN)
	}
	if a.Routed {
		s += ", routed"
	}
	return s
}
