package net

import "golang.org/x/sys/unix"

// Feature bits, section 5.1.3.
const (
	featureCsum          uint64 = 1 << 0  // takes packets without checksum from the driver
	featureGuestCsum     uint64 = 1 << 1  // the driver takes them from the device
	featureGuestOffloads uint64 = 1 << 2  // they can be changed through the control queue
	featureMTU           uint64 = 1 << 3  // the configuration names the largest packet
	featureMAC           uint64 = 1 << 5  // … and the address
	featureGuestTSO4     uint64 = 1 << 7  // the driver takes unsegmented TCP over IPv4
	featureGuestTSO6     uint64 = 1 << 8  // … over IPv6
	featureHostTSO4      uint64 = 1 << 11 // takes it from the driver
	featureHostTSO6      uint64 = 1 << 12
	featureMergeable     uint64 = 1 << 15 // a packet may span several chains
	featureStatus        uint64 = 1 << 16 // the configuration tells of the link
	featureControl       uint64 = 1 << 17 // there is a control queue
	featureControlRx     uint64 = 1 << 18 // … that sets what is received
	featureAnnounce      uint64 = 1 << 21 // the driver announces itself when asked
	featureMultiQueue    uint64 = 1 << 22 // several pairs of queues
	featureControlMAC    uint64 = 1 << 23 // the control queue sets the address
)

// offered are the features of every device of this package.
const offered = featureCsum | featureGuestCsum | featureGuestOffloads | featureMAC |
	featureGuestTSO4 | featureGuestTSO6 | featureHostTSO4 | featureHostTSO6 | featureMergeable |
	featureStatus | featureControl | featureControlRx | featureAnnounce | featureControlMAC

// guestOffloads are what a driver takes and may change its mind about, section 5.1.6.5.6.
const guestOffloads = featureGuestCsum | featureGuestTSO4 | featureGuestTSO6

// tapOffloads is what the tap may leave undone for a driver that takes
// features. Segmentation without checksums there is not.
func tapOffloads(features uint64) int {
	if features&featureGuestCsum == 0 {
		return 0
	}
	flags := unix.TUN_F_CSUM
	if features&featureGuestTSO4 != 0 {
		flags |= unix.TUN_F_TSO4
	}
	if features&featureGuestTSO6 != 0 {
		flags |= unix.TUN_F_TSO6
	}
	return flags
}
