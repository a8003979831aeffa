package migration

import (
	"sync"

	"github.com/ferryvmm/ferry/guestmem"
)

// restoring is a restore that may wait for missing pages. Nobody else has a say
// meanwhile: so whoever learns that the link is broken ends the waiting first. What is
// restored then is discarded.
type restoring struct {
	mu     sync.Mutex     // guards what follows
	memory *guestmem.Pull // nil: none is under way, or no page is missing
	broken error          // why the pages may never come
}

// begin is the start of a restore. The error is why it is in vain.
func (r *restoring) begin(memory *guestmem.Pull) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.memory = memory
	return r.broken
}

// end is that of a restore, with the error of which it is in vain.
func (r *restoring) end() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.memory = nil
	return r.broken
}

// give ends the waiting for good.
func (r *restoring) give(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken == nil {
		r.broken = err
	}
	if r.memory != nil {
		_ = r.memory.Close() // the puller closes it, too
	}
}
