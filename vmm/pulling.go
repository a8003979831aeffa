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

// bereave notes that the source is dead. A guest that misses pages can never have
// them: it stands still from here on, and is kept for who wants to look into it.
func (m *Machine) bereave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bereaved = true
	if !m.pulling || m.ended || m.state == StateLost {
		return
	}
	if !m.paused {
		if err := m.hold(context.Background()); err != nil {
			m.log.Error("stopping a guest that is lost", "error", err)
		}
	}
	m.paused = true
	m.setState(StateLost)
}

// mourn is bereave for who was told before pages were missing.
func (m *Machine) mourn() {
	m.mu.Lock()
	told := m.bereaved
	m.mu.Unlock()
	if told {
		m.bereave()
	}
}

// whyLost says it for people. Precondition: mu is held.
func (m *Machine) whyLost() string {
	if m.pulling {
		return "the guest is lost: memory of it died with its source"
	}
	return "the guest is lost: what is here is older than what was killed at the target"
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
		err = errNotPaused
	}
	if err == nil {
		return nil
	}
	return errors.Join(fmt.Errorf("pausing the guest: %w", err), m.instance.cpus.Resume())
}
