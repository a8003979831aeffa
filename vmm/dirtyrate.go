package vmm

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// MaxDirtyRate is the longest time over which a dirty rate is measured: the guest can not be moved meanwhile.
const MaxDirtyRate = time.Minute

// dirtyRate measures how much of its memory the guest writes, while it runs.
func (m *Machine) dirtyRate(ctx context.Context, q DirtyRate) (p DirtyPages, err error) {
	over := q.Duration
	if over <= 0 || over > MaxDirtyRate {
		return p, &Failure{Code: "bad_request", Message: fmt.Sprintf("a dirty rate cannot be measured over %v", over), Remedy: fmt.Sprintf("choose a time up to %v", MaxDirtyRate)}
	}
	v, err := m.begin(&move{meters: true, yields: q.Yield})
	if err != nil {
		return p, err
	}
	defer v.end(false)
	m.mu.Lock()
	paused := m.paused
	memory := m.instance.memory
	m.mu.Unlock()
	if paused {
		return p, badState("the guest is paused: it writes nothing", "resume it first: vmm resume "+m.plan.Name)
	}
	meter, err := memory.Meter()
	if err != nil {
		return p, err
	}
	began := time.Now()
	err = v.sit(ctx, over)
	p.Duration = time.Since(began)
	if err == nil {
		p.Pages, p.CPUs, err = meter.Count()
	}
	return p, errors.Join(err, meter.Close())
}

// preempt ends a measurement that yields.
func (m *Machine) preempt() {
	m.mu.Lock()
	v := m.move
	m.mu.Unlock()
	if v != nil && v.yields {
		v.abort(&Failure{Code: "preempted", Message: "something else needed the guest's dirty log", Remedy: "measure again later"})
		<-v.done
	}
}

// sit waits for a time, or until the move is cancelled.
func (v *move) sit(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-v.cancel:
		if v.why != nil {
			return v.why
		}
		return &Failure{Code: "cancelled", Message: "the measurement was cancelled", Remedy: "measure again"}
	case <-ctx.Done():
		return ctx.Err()
	}
}
