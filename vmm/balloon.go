package vmm

import (
	"fmt"

	"github.com/ferryvmm/ferry/devices/virtio/balloon"
	"github.com/ferryvmm/ferry/guestmem"
)

// Inflate asks the guest to do with so many bytes of its memory, in whole pages,
// and to give back the rest; more than at the last time gives memory to it again.
// It does not wait: the guest gives what it can, when it can. Errors: *Failure.
func (m *Machine) Inflate(bytes uint64) error {
	m.preempt()
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(); err != nil {
		return err
	}
	all := m.plan.Layout.Size()
	if bytes < guestmem.MinSize || bytes > all {
		return &Failure{Code: "bad_request", Message: fmt.Sprintf("%d bytes are not between %d and the guest's %d", bytes, guestmem.MinSize, all),
			Remedy: fmt.Sprintf("choose a size from %dM to %dM", guestmem.MinSize>>20, all>>20)}
	}
	for _, s := range m.instance.board.slots {
		if s.part.inflate != nil {
			s.part.inflate(uint32((all - bytes) / balloon.PageSize))
			return nil
		}
	}
	return badState("the guest has no balloon", "start it with --balloon")
}
