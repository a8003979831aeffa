package netmig

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
)

// MaxIPs is the most addresses that can be given for a device.
const MaxIPs = 16

// Bounds of the limits that a device can have. Below the lower ones no guest
// would get an answer before its peer has given up.
const (
	minRate, maxRate       = 10e3, 1e12
	minPackets, maxPackets = 10, 1e9
)

// Policy is what a device may carry: part of the plan, since a guest that moves
// must not get rid of it.
type Policy struct {
	Rate      uint64 `cbor:",omitempty"` // bits a second, each way, of frames; 0: no limit
	Packets   uint64 `cbor:",omitempty"` // a second, each way; 0: no limit
	AntiSpoof bool   `cbor:",omitempty"` // only frames with the device's own addresses leave the guest
}

// check tells whether the limits are within their bounds.
func (p Policy) check() error {
	if p.Rate != 0 && (p.Rate < minRate || p.Rate > maxRate) {
		return fmt.Errorf("a rate of %d bits/s is not between 10k and 1000G", p.Rate)
	}
	if p.Packets != 0 && (p.Packets < minPackets || p.Packets > maxPackets) {
		return fmt.Errorf("%d packets/s are not between 10 and 1G", p.Packets)
	}
	return nil
}

// parseAmount reads a positive number with k, M or G for 10^3, 10^6 or 10^9.
func parseAmount(text string) (uint64, error) {
	unit, digits := 1.0, text
	if n := len(text); n > 0 {
		if u, ok := map[byte]float64{'k': 1e3, 'M': 1e6, 'G': 1e9}[text[n-1]]; ok {
			unit, digits = u, text[:n-1]
		}
	}
	f, err := strconv.ParseFloat(digits, 64)
	if f *= unit; err != nil || !(f >= 1 && f < math.MaxInt64) {
		return 0, errors.New("not a number like 500, 20k or 1.5G")
	}
	return uint64(f), nil
}

// checkIPs tells whether a device can have all these addresses.
func checkIPs(ips []netip.Addr) error {
	if len(ips) > MaxIPs {
		return fmt.Errorf("%d addresses are more than %d", len(ips), MaxIPs)
	}
	for i, a := range ips {
		if err := checkIP(a); err != nil {
			return fmt.Errorf("IP %v: %w", a, err)
		}
		for _, b := range ips[:i] {
			if a == b {
				return fmt.Errorf("IP %v is there twice", a)
			}
		}
	}
	return nil
}
