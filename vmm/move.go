package vmm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ferryvmm/ferry/migration"
)

// move is a move or a snapshot under way. It is the migration.Guest of its
// machine: nobody else pauses or resumes the guest while it exists.
type move struct {
	m      *Machine
	cancel chan struct{} // closed to cancel
	once   sync.Once
	resume chan struct{} // closed to continue a move that waits; nil: it does not wait
	why    *Failure      // of a guest that does not let itself be moved; nil: a person's
	done   chan struct{} // closed when nothing of it goes on
	halted bool          // the guest stands still for the move
	still  bool          // it did so before: it was paused when its state was saved
	meters bool          // it is neither: the guest's dirty rate is measured
	yields bool          // to a move, a snapshot or a balloon
	word   word          // of a move; not of a snapshot
	token  uint64        // by which the target knows the images; 0: it needs not, or this is a snapshot
	local  bool          // the target is a process of this host, and has what the guest works on already
	// network is what comes for the guest while it stands still; nil: that is not forwarded, and stays in the taps.
	network *forwarding
}

var (
	_ migration.Guest     = (*move)(nil)
	_ migration.Throttler = (*move)(nil)
)

// beginMove makes the machine busy with a move.
func (m *Machine) beginMove() (*move, error) {
	m.preempt()
	return m.begin(&move{})
}

// begin makes the machine busy with v.
func (m *Machine) begin(v *move) (*move, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(); err != nil {
		return nil, err
	}
	if err := m.needWhole(); err != nil {
		return nil, err
	}
	if m.leaving.Load() {
		return nil, badState("the guest is ending or restarting", "try again in a moment")
	}
	v.m, v.cancel, v.done = m, make(chan struct{}), make(chan struct{})
	m.move = v
	return v, nil
}

// end makes the machine free again, unless the guest has left; its state is what it was before.
func (v *move) end(left bool) {
	defer close(v.done)
	if left {
		return
	}
	m := v.m
	m.mu.Lock()
	defer m.mu.Unlock()
	m.move = nil
	if m.paused {
		m.setState(StatePaused)
	} else if !m.ended {
		m.setState(StateRunning)
	}
	if v.word.file != nil {
		v.word.file.Close() // and so tells that the guest is not of this move any more
	}
}

// lose leaves the guest as it is, paused and of no use: its newer copy was killed.
func (v *move) lose() {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	v.m.setState(StateLost)
}

// abort cancels the move, if it can still be.
func (v *move) abort(why *Failure) {
	v.once.Do(func() {
		v.why = why
		close(v.cancel)
	})
}

// quitMove ends the move under way, if there is one and it can still be ended,
// for a reason of the guest, and returns when nothing of it goes on.
func (m *Machine) quitMove(why *Failure) {
	m.mu.Lock()
	v := m.move
	m.mu.Unlock()
	if v != nil {
		v.abort(why)
		<-v.done
	}
}

// cancelMove cancels the move under way.
func (m *Machine) cancelMove() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.move == nil {
		return badState("no move is under way", "see what the guest does: vmm ps")
	}
	switch m.state {
	case StateRelinquished, StateInDoubt, StateLost:
		return badState("the guest has been handed over: it is too late to cancel", "see where it runs: vmm ps on the target")
	}
	m.move.abort(nil)
	return nil
}

// continueMove lets a move that waits go on.
func (m *Machine) continueMove() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != StateWaiting {
		return badState("no move waits to be continued", "a move waits at its switch with vmm migrate --pause-before-switchover; vmm ps tells when")
	}
	m.setState(StateMigrating)
	close(m.move.resume)
	return nil
}

// Throttle slows the vCPUs down.
func (v *move) Throttle(percent int) error { return v.m.instance.cpus.Throttle(percent) }

// Pause stops the vCPUs and then the devices, which wait for what they have
// submitted. Where a person is to prepare the switch the disks are complete.
func (v *move) Pause(ctx context.Context) error {
	if err := v.halt(ctx); err != nil || v.resume == nil {
		return err
	}
	return v.m.backs.sync()
}

func (v *move) halt(ctx context.Context) error {
	m := v.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return errors.New("the guest has ended")
	}
	if !m.paused {
		if err := m.halt(ctx); err != nil {
			return err
		}
	}
	v.halted = true
	if v.network != nil {
		v.network.begin()
	}
	// What is typed from here on waits in the hub: it must be in no state that
	// has been saved already.
	m.console.SetInput(nil)
	if m.leaving.Load() || !m.instance.cpus.Whole() {
		return guestEnded("the guest is ending or restarting")
	}
	return nil
}

// Save returns the state of everything but memory, and hands the images over:
// from here on the target may lock them. A guest that a person paused is paused
// wherever this state is restored.
func (v *move) Save() ([]migration.Section, error) {
	if !v.local {
		// Before the state: a snapshot too must not be newer than its disks.
		if err := v.m.backs.sync(); err != nil {
			return nil, err
		}
	}
	sections, err := v.m.instance.save()
	if err != nil {
		return nil, err
	}
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	if v.still = v.m.paused; v.still {
		if sections, err = markPaused(sections); err != nil {
			return nil, err
		}
	}
	v.word.handed(true)
	if v.token == 0 {
		return sections, nil
	}
	v.m.handed = true
	return sections, v.m.backs.unlock()
}

// Resume lets the guest go on, if it ran before.
func (v *move) Resume() error {
	m := v.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended || !v.halted {
		return nil
	}
	v.halted = false
	v.word.handed(false)
	if v.network != nil {
		v.network.recover()
	}
	if err := m.relock(relockWithin); err != nil {
		return err
	}
	if m.paused {
		m.console.SetInput(m.instance.board.serial)
		return nil
	}
	return m.run()
}

// describe says what a target must know of the guest, which will have completed
// that many moves there.
func (m *Machine) describe(moves int) (migration.Description, error) {
	plan := m.plan
	plan.Moves = moves
	infos, err := m.images.describe()
	if err != nil {
		return migration.Description{}, err
	}
	plan.Images = infos
	raw, err := plan.Encode()
	if err != nil {
		return migration.Description{}, err
	}
	return migration.Description{
		Name: plan.Name, MemoryBytes: plan.Layout.Size(), Layout: plan.Layout, Plan: raw, Blobs: blobs(infos),
	}, nil
}

// follow keeps the machine's state in step with the move's phases.
func (v *move) follow(progress func(migration.Progress)) func(migration.Progress) {
	return func(p migration.Progress) {
		m := v.m
		if p.Phase == migration.PhaseServe || p.Phase == migration.PhasePull {
			v.word.moved()
		}
		m.mu.Lock()
		switch p.Phase {
		case migration.PhaseServe:
			m.setState(StateServing)
		case migration.PhaseCommit, migration.PhaseRelease, migration.PhasePull, migration.PhaseRejoin:
			m.setState(StateRelinquished)
		case migration.PhaseInDoubt:
			m.setState(StateInDoubt)
		case migration.PhaseWait:
			m.setState(StateWaiting)
		case migration.PhaseReserve, migration.PhasePush, migration.PhaseStop:
			m.setState(StateMigrating)
		}
		m.mu.Unlock()
		progress(p)
	}
}

// sending completes what is to be sent with what comes between its rounds.
func (v *move) sending(c migration.SendConfig) migration.SendConfig {
	c.SaveCost = v.presync
	return c
}

// saving is sending, to a file.
func (v *move) saving(c migration.SaveConfig) migration.SaveConfig {
	c.SaveCost = v.presync
	return c
}

// presync is saveCost, and makes durable what the guest has written so far: it comes
// after each round, and what it syncs need not be synced while the guest stands still.
func (v *move) presync() time.Duration {
	if err := v.m.backs.sync(); err != nil {
		v.m.log.Warn("syncing the disks ahead of the stop", "error", err) // Save tries again, and fails the move
	}
	return v.m.saveCost()
}

// saveCost forecasts pausing and saving, as building this machine measured it.
func (m *Machine) saveCost() time.Duration { return m.instance.saveCost }

// outcome corrects how a move ended: a reason of the guest's counts for more than
// what it did to the move, and a guest that stood still anyway had no downtime.
func (v *move) outcome(r migration.Result, err error) Outcome {
	if v.still {
		r.DowntimeMS, r.Downtime = 0, migration.Downtime{}
	}
	select {
	case <-v.cancel:
		if v.why != nil && (r.Outcome == migration.OutcomeCancelled || r.Outcome == migration.OutcomeFailed) {
			r.Outcome, r.Reason, err = migration.OutcomeFailed, v.why.Message, v.why
		}
	default:
	}
	if v.word.file != nil {
		r = v.word.explain(r)
	}
	o := Outcome{Result: r}
	if err != nil {
		o.Error = crossing(err)
	}
	return o
}

// snapshotError explains a stream that could not be written.
func snapshotError(err error) error {
	return &Failure{Code: "snapshot", Message: fmt.Sprintf("the snapshot was not written: %v", err), Remedy: "check the space of its folder; the guest runs on"}
}
