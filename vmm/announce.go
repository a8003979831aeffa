package vmm

import "time"

// announceAgain is when a guest's place is announced once more, each time counted from the one
// before: a frame may be lost, and a switch may learn late.
var announceAgain = []time.Duration{50 * time.Millisecond, 150 * time.Millisecond, 450 * time.Millisecond, time.Second}

// announce tells the network where a guest is that has just arrived, now and some times more, until
// it is stopped.
func (m *Machine) announce() {
	m.mu.Lock()
	m.announceHere()
	m.mu.Unlock()
	go func() {
		for _, wait := range announceAgain {
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-m.closing.Done():
				timer.Stop()
				return
			}
			if !m.announceStill() {
				return
			}
		}
	}()
}

// announceStill announces the guest's place again, unless it stands still: then it may be about to run
// elsewhere. It tells whether to go on.
func (m *Machine) announceStill() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended || m.paused || m.move != nil && m.move.halted {
		return false
	}
	m.announceHere()
	return true
}

// announceHere announces the place of every network device. Precondition: mu is held.
func (m *Machine) announceHere() {
	for _, s := range m.instance.board.slots {
		if s.part.nic == nil {
			continue
		}
		if err := s.part.nic.Announce(s.part.announcement()); err != nil {
			m.log.Warn("the guest's new place was not announced", "device", s.plan.Device, "error", err)
		}
	}
}
