package vmm

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/balloon"
	"github.com/ferryvmm/ferry/devices/virtio/blk"
	"github.com/ferryvmm/ferry/devices/virtio/console"
	virtionet "github.com/ferryvmm/ferry/devices/virtio/net"
	"github.com/ferryvmm/ferry/devices/virtio/rng"
	"github.com/ferryvmm/ferry/devices/virtio/vsock"
)

// part is a device as the machine knows it: what works, and how to save it.
type part struct {
	device virtio.Device
	save   func() any
}

// maker makes the devices of one kind.
type maker struct {
	version uint16 // of their states
	make    func(s Slot, b *backends, saved cbor.RawMessage) (part, error)
}

// parts are the kinds of virtio devices.
var parts = map[string]maker{}

// decodeState reads a device's own state; nil stays nil.
func decodeState[S any](raw cbor.RawMessage) (*S, error) {
	if raw == nil {
		return nil, nil
	}
	s := new(S)
	if err := planMode.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("saved state: %w", err)
	}
	return s, nil
}
