package mmio

import (
	"fmt"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// resetShift is where in Transport.status the count of resets begins.
const resetShift = 32

// writeStatus takes the driver's steps, section 3.1. Bits that it clears stay,
// except that zero resets everything. Precondition: mu is held.
func (t *Transport) writeStatus(v uint32) {
	if v == 0 {
		t.reset()
		return
	}
	session := session{t, t.status.Load() >> resetShift}
	bits := v & statusDriverBits &^ statusDriverOK
	if !acceptable(t.setup.features, t.offered) {
		bits &^= statusFeaturesOK // the driver sees that it did not stick
	}
	session.set(bits)
	if v&statusDriverOK == 0 || t.status.Load()&(statusFeaturesOK|statusDriverOK) != statusFeaturesOK {
		return
	}
	session.set(statusDriverOK) // first, for the device may fail as soon as it starts
	if err := t.start(session); err != nil {
		session.Fail(err)
	}
}

// acceptable tells whether a driver may choose these features.
func acceptable(features, offered uint64) bool {
	return features&^offered == 0 && features&virtio.FeatureVersion1 != 0
}

// start gives the device its driver. Precondition: mu is held, or nobody else
// knows t; the device has none.
func (t *Transport) start(s session) error {
	live := make([]*virtio.Queue, len(t.sizes))
	for i, q := range t.setup.queues {
		if !q.Ready {
			continue
		}
		var err error
		if live[i], err = virtio.NewQueue(t.mem, q, t.setup.features, t.kicks[i], t.used); err != nil {
			return fmt.Errorf("queue %d: %w", i, err)
		}
	}
	if err := t.dev.Start(virtio.Driver{Features: t.setup.features, Queues: live, Transport: s}); err != nil {
		return err
	}
	t.started, t.live = true, live
	return nil
}

// stop takes the driver away from the device. Precondition: mu is held.
func (t *Transport) stop() {
	if t.started {
		t.dev.Stop()
	}
	t.started, t.live = false, nil
}

// reset makes everything but the generation of the configuration as in the beginning. Precondition: mu is held.
func (t *Transport) reset() {
	t.stop()
	t.setup = t.unset()
	t.isr.Store(0)
	t.status.Store((t.status.Load()>>resetShift + 1) << resetShift)
}

// session is the transport as the device sees it between two resets.
type session struct {
	t      *Transport
	resets uint64
}

var _ virtio.Transport = session{}

// set sets bits of the status. It tells whether that changed something, which
// it does not when there was a reset.
func (s session) set(bits uint32) bool {
	for {
		old := s.t.status.Load()
		if old>>resetShift != s.resets || old|uint64(bits) == old {
			return false
		}
		if s.t.status.CompareAndSwap(old, old|uint64(bits)) {
			return true
		}
	}
}

// ConfigChanged implements virtio.Transport.
func (s session) ConfigChanged() {
	if s.t.status.Load()>>resetShift != s.resets {
		return
	}
	s.t.generation.Add(1)
	s.t.raise(interruptConfig)
}

// Fail implements virtio.Transport.
func (s session) Fail(err error) {
	if s.set(statusNeedsReset) {
		s.t.raise(interruptConfig)
		s.t.log.Warn("virtio device needs a reset by its driver", "error", err)
	}
}
