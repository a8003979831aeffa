package vcpu

import (
	"fmt"
	"time"
)

// throttleWindow is the time of which a throttled vCPU rests its share at one go: about as long as a pause that nobody minds.
const throttleWindow = 20 * time.Millisecond

// MaxThrottle is the most that Throttle takes, in percent: a guest that does not run at all would not notice that it is asked to.
const MaxThrottle = 99

// Dirty are the dirty rings of the VM.
type Dirty interface {
	// Collect makes room in the ring of a vCPU. An error means that there may be none.
	Collect(cpu int) error
	// Written counts what a vCPU has logged so far. It changes with each page that it dirties.
	Written(cpu int) uint64
}

// Throttle makes vCPUs stand still for that share of the time, in percent from 0 to MaxThrottle: every vCPU, or where the VM has dirty
// rings those that dirty pages. 0 ends it. A vCPU that stands still is woken at once by Pause, Kick, Close, and by Throttle itself.
func (s *Set) Throttle(percent int) error {
	if percent < 0 || percent > MaxThrottle {
		return fmt.Errorf("vcpu: throttle of %d percent, want 0 to %d", percent, MaxThrottle)
	}
	s.throttle.Store(int32(percent))
	s.Kick()
	return nil
}

// pacing is how one vCPU is throttled: it rests when it is due, and then has itself kicked when it will be due again.
type pacing struct {
	due     time.Time     // when it may rest next
	written uint64        // Dirty.Written, when it was due last
	clock   *time.Timer   // kicks it
	rest    *time.Timer   // ends its rest
	wake    chan struct{} // holds a token when somebody else may want to end it
}

func newPacing(kick func()) pacing {
	p := pacing{clock: time.AfterFunc(time.Hour, kick), rest: time.NewTimer(time.Hour), wake: make(chan struct{}, 1)}
	p.stop()
	return p
}

func (p *pacing) stop() {
	p.clock.Stop()
	p.rest.Stop()
}

// stir ends a rest, if whoever rests agrees that it is over. It does not block.
func (p *pacing) stir() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// shares splits the window into the times to run and to rest; rest is 0 for a vCPU that is not throttled.
func (s *Set) shares() (run, rest time.Duration) {
	rest = s.window * time.Duration(s.throttle.Load()) / 100
	return s.window - rest, rest
}

// pace lets the vCPU rest, if it is throttled and due. It runs on the vCPU's thread, between two entries, and does not allocate.
func (c *cpu) pace() {
	run, rest := c.set.shares()
	if rest == 0 || time.Now().Before(c.pacing.due) {
		return
	}
	if d := c.set.cfg.Dirty; d != nil {
		written := d.Written(c.index)
		if written == c.pacing.written {
			rest = 0
		}
		c.pacing.written = written
	}
	if rest > 0 {
		c.standStill(rest)
	}
	c.runFor(run)
}

// runFor has a throttled vCPU kicked after a time.
func (c *cpu) runFor(run time.Duration) {
	c.pacing.due = time.Now().Add(run)
	c.pacing.clock.Reset(run)
}

// standStill waits until the time is over, or somebody wants the vCPU to stop, or it is throttled no more.
func (c *cpu) standStill(rest time.Duration) {
	begin := time.Now()
	for left := rest; left > 0 && !c.stop.Load() && c.set.throttle.Load() != 0; left = rest - time.Since(begin) {
		c.pacing.rest.Reset(left)
		select {
		case <-c.pacing.rest.C:
		case <-c.pacing.wake:
		}
	}
	c.rested.Add(int64(time.Since(begin)))
}
