package mmio

import (
	"errors"
	"fmt"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// ErrState means that a state cannot be that of a transport of this device. The
// caller should refuse the peer or the file that it came from.
var ErrState = errors.New("invalid state of a virtio device")

// State is a transport's saved state.
type State struct {
	Status                                         uint32
	DeviceFeaturesSel, DriverFeaturesSel, QueueSel uint32
	Features                                       uint64 // that the driver has written
	ISR                                            uint32 // interrupts that the guest has not acknowledged
	Generation                                     uint32 // of the configuration space
	Queues                                         []virtio.QueueState
}

// Version of State.
const Version = 1

// Save returns the state.
//
// Precondition: every vCPU is parked, and the device is at rest.
func (t *Transport) Save() State {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := State{
		Status:            uint32(t.status.Load()),
		DeviceFeaturesSel: t.setup.deviceFeaturesSel,
		DriverFeaturesSel: t.setup.driverFeaturesSel,
		QueueSel:          t.setup.queueSel,
		Features:          t.setup.features,
		ISR:               t.isr.Load(),
		Generation:        t.generation.Load(),
		Queues:            append([]virtio.QueueState(nil), t.setup.queues...),
	}
	for i, q := range t.live {
		if q != nil {
			s.Queues[i] = q.State()
		}
	}
	return s
}

// check tells whether a transport can be in this state.
func (s State) check(offered uint64, sizes []uint16) error {
	switch {
	case s.Status&^(statusDriverBits|statusNeedsReset) != 0,
		s.Status&statusDriverOK != 0 && s.Status&statusFeaturesOK == 0:
		return fmt.Errorf("%w: status %#x", ErrState, s.Status)
	case s.Status&statusFeaturesOK != 0 && !acceptable(s.Features, offered):
		return fmt.Errorf("%w: features %#x of %#x: is it a device of another kind or version?", ErrState, s.Features, offered)
	case s.ISR&^(interruptUsed|interruptConfig) != 0:
		return fmt.Errorf("%w: interrupt status %#x", ErrState, s.ISR)
	case len(s.Queues) != len(sizes):
		return fmt.Errorf("%w: %d queues of %d", ErrState, len(s.Queues), len(sizes))
	}
	for i, q := range s.Queues {
		if q.Size != 0 && (virtio.QueueState{Size: q.Size}).Check(sizes[i]) != nil {
			return fmt.Errorf("%w: queue %d of %d descriptors; at most %d", ErrState, i, q.Size, sizes[i])
		}
	}
	return nil
}

// restore takes a state that was checked. A device that needs a reset is not
// started: it would only find the same fault again, or none and go on.
func (t *Transport) restore(s State) error {
	t.setup = setup{
		deviceFeaturesSel: s.DeviceFeaturesSel,
		driverFeaturesSel: s.DriverFeaturesSel,
		queueSel:          s.QueueSel,
		features:          s.Features,
		queues:            append([]virtio.QueueState(nil), s.Queues...),
	}
	t.status.Store(uint64(s.Status))
	t.isr.Store(s.ISR)
	t.generation.Store(s.Generation)
	if s.Status&(statusDriverOK|statusNeedsReset) != statusDriverOK {
		return nil
	}
	if err := t.start(session{t: t}); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	return nil
}
