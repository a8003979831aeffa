package netmig

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// MaxQueues is the most pairs of queues that a network device can have: one for
// each vCPU.
const MaxQueues = 8

// maxName is the longest name of a link, in bytes: IFNAMSIZ without the zero.
const maxName = 15

// syntax is what --net takes.
const syntax = "ID=tap=NAME[,route], ID=bridge=NAME[,vlan=N] or ID=macvtap=PARENT[,mode=M], then any of ,mac=M ,ip=A (again for each address) ,queues=N ,rate=BITS ,packets=N ,antispoof"

// Spec is one --net: where this host connects a network device of a guest, and
// what a person wants of the device. Zero fields were not given.
type Spec struct {
	ID string
	Attachment
	MAC    MAC          // of the device
	IPs    []netip.Addr // of the guest, announced after a move; at most MaxIPs
	Queues int          // pairs of queues, 1 to MaxQueues
	Policy
}

// ParseNet reads ID=tap=NAME[,route]|ID=bridge=NAME[,vlan=N]|ID=macvtap=PARENT[,mode=M],
// each with [,mac=M][,ip=A][,queues=N][,rate=R][,packets=N][,antispoof], where ip=
// may be given again. The error is an *Error of CodeUsage that names the field.
func ParseNet(text string) (Spec, error) {
	id, rest, found := strings.Cut(text, "=")
	if !found || rest == "" {
		return Spec{}, usage("use "+syntax, "--net %q: no tap or bridge", text)
	}
	s := Spec{ID: id}
	if err := checkID(id); err != nil {
		return Spec{}, err
	}
	seen := make(map[string]bool)
	for field := range strings.SplitSeq(rest, ",") {
		key, value, found := strings.Cut(field, "=")
		if found == words[key] || found && value == "" {
			return Spec{}, usage("use "+syntax, "--net %s: %q has no value, or one that it does not take", id, field)
		}
		if seen[key] && key != "ip" {
			return Spec{}, usage("give it once", "--net %s: %s is given twice", id, key)
		}
		seen[key] = true
		if err := s.set(key, value); err != nil {
			return Spec{}, err
		}
	}
	if s.Parent != "" {
		s.Mode = cmp.Or(s.Mode, Modes[0])
	}
	if err := s.Attachment.Check(); err != nil {
		return Spec{}, usage("use "+syntax, "--net %s: %v", id, err)
	}
	return s, nil
}

// words are the fields that have no value.
var words = map[string]bool{"antispoof": true, "route": true}

func (s *Spec) set(key, value string) (err error) {
	remedy := ""
	switch key {
	case "tap":
		s.Tap, err = value, checkName(value)
		remedy = "give the name of a tap"
	case "bridge":
		s.Bridge, err = value, checkName(value)
		remedy = "give the name of a bridge; `ip link show type bridge` lists them"
	case "macvtap":
		s.Parent, err = value, checkName(value)
		remedy = "give the name of the link under it, like eth0"
	case "mode":
		s.Mode = value
		if !slices.Contains(Modes, value) {
			err = errors.New("no such mode")
		}
		remedy = "use one of " + strings.Join(Modes, ", ")
	case "vlan":
		s.VLAN, err = parseVLAN(value)
		remedy = fmt.Sprintf("use a number of 1 to %d", maxVLAN)
	case "route":
		s.Routed = true
	case "mac":
		s.MAC, err = ParseMAC(value)
		remedy = "use an address like " + MAC{macPrefix[0], macPrefix[1], 0, 0x12, 0x34, 0x56}.String() + ", or leave mac= out"
	case "ip":
		var a netip.Addr
		if a, err = parseIP(value); err == nil {
			s.IPs = append(s.IPs, a)
			err = checkIPs(s.IPs)
		}
		remedy = fmt.Sprintf("use the guest's addresses like 10.0.0.5 or fd00::5, each once, at most %d", MaxIPs)
	case "queues":
		s.Queues, err = parseQueues(value)
		remedy = fmt.Sprintf("use 1 to %d queues", MaxQueues)
	case "rate":
		if s.Rate, err = parseAmount(value); err == nil {
			err = s.Policy.check()
		}
		remedy = "use bits a second from 10k to 1000G"
	case "packets":
		if s.Packets, err = parseAmount(value); err == nil {
			err = s.Policy.check()
		}
		remedy = "use packets a second from 10 to 1G"
	case "antispoof":
		s.AntiSpoof = true
	default:
		return usage("use "+syntax, "--net %s: there is no field %q", s.ID, key)
	}
	if err != nil {
		return usage(remedy, "--net %s: %s=%s: %v", s.ID, key, value, err)
	}
	return nil
}

// NIC is the device that a new guest gets: what was not given is chosen.
func (s Spec) NIC() NIC {
	n := NIC{ID: s.ID, MAC: s.MAC, Queues: cmp.Or(s.Queues, 1), Policy: s.Policy}
	if len(s.IPs) > 0 {
		n.IP, n.MoreIPs = s.IPs[0], s.IPs[1:]
	}
	if n.MAC == (MAC{}) {
		n.MAC = NewMAC()
	}
	return n
}

// Fits tells whether the device of a guest that exists already is what was
// asked for. The error is an *Error of CodeUsage.
func (s Spec) Fits(n NIC) error {
	bad := func(field string, got, want any) error {
		return usage("leave "+field+"= out: the guest brings its own", "--net %s: %s=%v, but the guest's is %v", s.ID, field, got, want)
	}
	switch {
	case s.MAC != MAC{} && s.MAC != n.MAC:
		return bad("mac", s.MAC, n.MAC)
	case s.IPs != nil && !slices.Equal(s.IPs, n.IPs()):
		return bad("ip", s.IPs, n.IPs())
	case s.Queues != 0 && s.Queues != n.Queues:
		return bad("queues", s.Queues, n.Queues)
	case s.Rate != 0 && s.Rate != n.Rate:
		return bad("rate", s.Rate, n.Rate)
	case s.Packets != 0 && s.Packets != n.Packets:
		return bad("packets", s.Packets, n.Packets)
	case s.AntiSpoof && !n.AntiSpoof:
		return usage("leave antispoof out, or start the guest with it", "--net %s: antispoof, but the guest was started without", s.ID)
	}
	return nil
}

var idPattern = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)

func checkID(id string) error {
	if !idPattern.MatchString(id) {
		return usage("use small letters, digits, '_' and '-', at most 32", "--net: %q cannot be the ID of a device", id)
	}
	return nil
}

// checkName tells whether a link can have the name. The kernel would take '%'
// for a pattern.
func checkName(name string) error {
	switch {
	case len(name) > maxName:
		return fmt.Errorf("the name has %d bytes; a link's has at most %d", len(name), maxName)
	case name == "." || name == ".." || strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '/' || r == ':' || r == '%'
	}):
		return errors.New("no link can be named so")
	}
	return nil
}

func parseIP(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, errors.New("not an IP address")
	}
	return a, checkIP(a)
}

func checkIP(a netip.Addr) error {
	if !a.IsValid() || a.Zone() != "" || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
		return errors.New("not an address that a guest has on a network")
	}
	return nil
}

func parseQueues(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, errors.New("not a number")
	}
	return n, checkQueues(n)
}

func parseVLAN(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, errors.New("not a number")
	}
	return n, checkVLAN(n)
}

func checkQueues(n int) error {
	if n < 1 || n > MaxQueues {
		return fmt.Errorf("not between 1 and %d", MaxQueues)
	}
	return nil
}

func usage(remedy, format string, args ...any) error {
	return &Error{Code: CodeUsage, Message: fmt.Sprintf(format, args...), Remedy: remedy}
}
