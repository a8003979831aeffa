package api

// Device describes a virtio device of a guest: what all have, and one of the rest where its kind has more. Counts are
// since the guest runs in this process.
type Device struct {
	Kind string `json:"kind"`           // blk, net, rng, balloon, console, vsock
	ID   string `json:"id"`             // of a blk or a net: as given; of others empty, since there is one at most
	Path string `json:"path,omitempty"` // on this host: of a blk its image, of a vsock its socket
	// Queues of a blk; of a net, pairs of them.
	Queues int `json:"queues,omitempty"`
	*Disk
	*Network
	*Balloon
	*Console
	*Vsock
}

// Disk is what there is to say of a blk.
type Disk struct {
	SizeBytes    uint64 `json:"size_bytes"`
	ReadOnly     bool   `json:"read_only"`
	Cache        string `json:"cache"` // none or writeback
	Reads        uint64 `json:"reads"` // requests, like the next three
	Writes       uint64 `json:"writes"`
	Flushes      uint64 `json:"flushes"`
	Discards     uint64 `json:"discards"`
	ReadBytes    uint64 `json:"read_bytes"`
	WrittenBytes uint64 `json:"written_bytes"`
	Errors       uint64 `json:"errors"` // requests that failed
}

// Network is what there is to say of a net. Of tap, bridge and macvtap one is set, on this host.
type Network struct {
	MAC     string `json:"mac"`
	Tap     string `json:"tap,omitempty"`
	Bridge  string `json:"bridge,omitempty"`
	Macvtap string `json:"macvtap,omitempty"` // the link that it is on
	Mode    string `json:"mode,omitempty"`    // of the macvtap
	VLAN    int    `json:"vlan,omitempty"`
	Routed  bool   `json:"routed,omitempty"`
	Link    string `json:"link,omitempty"` // the name of its own tap or macvtap
	MTU     int    `json:"mtu"`            // bytes
	NetworkPolicy
	IPs       []string `json:"ips"` // of the guest, as given or seen in what it sends; they are announced after a move
	RxPackets uint64   `json:"rx_packets"`
	RxBytes   uint64   `json:"rx_bytes"`
	RxDrops   uint64   `json:"rx_drops"`
	TxPackets uint64   `json:"tx_packets"`
	TxBytes   uint64   `json:"tx_bytes"`
	TxDrops   uint64   `json:"tx_drops"`
	TxSpoofed uint64   `json:"tx_spoofed"` // frames dropped because they name addresses that are not the guest's
	TxLimited uint64   `json:"tx_limited"` // … because of rate or packets
	RxLimited uint64   `json:"rx_limited"`
}

// NetworkPolicy is what a net may carry, as it was given.
type NetworkPolicy struct {
	Rate      uint64 `json:"rate,omitempty"`    // bits a second, each way
	Packets   uint64 `json:"packets,omitempty"` // a second, each way
	AntiSpoof bool   `json:"antispoof,omitempty"`
}

// Balloon is what there is to say of a balloon.
type Balloon struct {
	TargetBytes uint64 `json:"target_bytes"` // that the guest is asked to give back
	ActualBytes uint64 `json:"actual_bytes"` // that it says it gave
}

// Console is what there is to say of a console.
type Console struct {
	Spec string `json:"spec"` // as given to --virtio-console
}

// Vsock is what there is to say of a vsock.
type Vsock struct {
	CID uint64 `json:"cid"`
}
