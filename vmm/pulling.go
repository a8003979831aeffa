package vmm

import (
	"context"
	"errors"
	"fmt"

	"github.com/ferryvmm/ferry/vcpu"
)

// pulls notes whether pages of the guest are missing.
func (m *Machine) pulls(some bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pulling == some {
		return
	}
	m.pulling = some
	if some {
		m.whole = make(chan struct{})
	} else {
		close(m.whole)
	}
	switch {
	case m.ended:
	case m.paused && !some:
		// It was held. Paused means from here on that its devices are at rest, too.
		ctx, cancel := context.WithTimeout(context.Background(), pauseWithin)
		defer cancel()
		if err := m.instance.board.quiesce(ctx); err != nil {
			m.log.Error("a paused guest's devices do not come to rest: it goes on", "error", err)
			m.paused = false
			if err := m.run(); err != nil {
				m.log.Error("resuming the guest", "error", err)
			}
		}
	case m.paused:
	case some:
		m.setState(StatePulling)
	default:
		m.setState(StateRunning)
	}
}

// needWhole refuses what wants all of the guest's memory. Precondition: mu is held.
func (m *Machine) needWhole() error {
	if m.pulling {
		return badState("memory of the guest is still at its source", "wait until it has come: vmm ps shows running then")
	}
	return nil
}

// hold stops the vCPUs of a guest that misses pages: one that waits for a page
// executes nothing, and need not come out of that. Devices end what they have begun,
// and wait for pages themselves; the guest gives them nothing new. Precondition: mu is held.
func (m *Machine) hold(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pauseWithin)
	defer cancel()
	answer, err := m.instance.cpus.Pause(ctx)
	if err == nil && answer != vcpu.Paused && answer != vcpu.Held {
		err = fmt.Errorf("%v", answer)
	}
	if err == nil {
		return nil
	}
	return errors.Join(fmt.Errorf("pausing the guest: %w", err), m.instance.cpus.Resume())
}
