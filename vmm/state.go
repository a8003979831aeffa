package vmm

import (
	"fmt"
	"time"

	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vcpu"
)

// Sections of a guest's state, each with a version of its own. The order of
// saving and restoring matters:
//
//	save      1 devices   they are quiet; what they did is in memory and in the chips
//	          2 vCPUs     MP state first, events last: see package vcpu
//	          3 chips     interrupt controllers and PIT, behind all that raises a line
//	          4 clock     as late as can be: the guest's time stands from here on
//	          5 memory    the last harvest of dirty pages, behind all that writes it
//	restore   1 memory    placed before the state arrives
//	          2 devices   made anew from their state; they raise nothing yet
//	          3 vCPUs     see package vcpu
//	          4 chips
//	          5 clock
//	          6 lines     each interrupt whose status bit is set is raised again
const (
	sectionVCPU    = "vcpu"
	sectionDevices = "devices"

	vcpuVersion    = 1
	devicesVersion = 1
)

// save returns the state of everything but memory. Precondition: every vCPU is
// parked.
func (i *instance) save() ([]migration.Section, error) {
	devices, err := migration.NewSection(sectionDevices, devicesVersion, i.board.save())
	if err != nil {
		return nil, err
	}
	state, err := i.cpus.Save()
	if err != nil {
		return nil, fmt.Errorf("saving the vCPUs: %w", err)
	}
	cpus, err := migration.NewSection(sectionVCPU, vcpuVersion, state)
	if err != nil {
		return nil, err
	}
	return []migration.Section{devices, cpus}, nil
}

// restore loads a state into an instance of the same plan. It may be called
// again and again. Precondition: every vCPU is parked.
func (i *instance) restore(sections []migration.Section, p Plan, w wiring) (vcpu.Report, error) {
	known, err := migration.Pick(sections, sectionDevices, sectionVCPU)
	if err != nil {
		return vcpu.Report{}, &Failure{Code: "state", Message: err.Error(), Remedy: "use the same version of vmm on both hosts"}
	}
	for id, version := range map[string]uint16{sectionDevices: devicesVersion, sectionVCPU: vcpuVersion} {
		if v := known[id].Version; v != version {
			return vcpu.Report{}, &Failure{Code: "state", Message: fmt.Sprintf("state of %s: version %d; this vmm knows %d", id, v, version),
				Remedy: "use the same version of vmm on both hosts"}
		}
	}
	var saved boardState
	if err := known[sectionDevices].Decode(&saved); err != nil {
		return vcpu.Report{}, err
	}
	var state vcpu.State
	if err := known[sectionVCPU].Decode(&state); err != nil {
		return vcpu.Report{}, err
	}
	b, err := newBoard(p, i.vm, w, &saved)
	if err != nil {
		return vcpu.Report{}, err
	}
	i.exits.bus.Store(b.bus)
	i.board = b
	mode := vcpu.Advance
	if p.Clock == ClockFreeze {
		mode = vcpu.Freeze
	}
	report, err := i.cpus.Restore(state, vcpu.RestoreOptions{Clock: mode})
	if err != nil {
		return report, fmt.Errorf("restoring the vCPUs: %w", err)
	}
	b.restored()
	return report, nil
}

// rehearsals is how often a step is timed before the fastest is believed: on a
// busy host one sample may have waited for a CPU, and a forecast made of it
// would keep a move from ever coming to its stop.
const rehearsals = 3

// rehearse restores a trial state of the plan's shape and times it, so that the
// steps of the switchover are known, and warm, before the guest is paused.
// Precondition: the instance is fresh.
func (i *instance) rehearse(p Plan, w wiring) (time.Duration, error) {
	trial, err := i.save()
	if err != nil {
		return 0, err
	}
	return fastest(func() error {
		_, err := i.restore(trial, p, w)
		return err
	})
}

// timeSave measures what saving takes, for the forecast of a later move.
// Precondition: the instance is fresh.
func (i *instance) timeSave() (err error) {
	i.saveCost, err = fastest(func() error {
		_, err := i.save()
		return err
	})
	return err
}

// fastest is the shortest that a step took.
func fastest(step func() error) (time.Duration, error) {
	var best time.Duration
	for n := range rehearsals {
		began := time.Now()
		if err := step(); err != nil {
			return 0, err
		}
		if took := time.Since(began); n == 0 || took < best {
			best = took
		}
	}
	return best, nil
}

// start lets a restored guest run, and its console type to it.
func (m *Machine) start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.run()
}

// isPaused tells whether a person paused the guest.
func (m *Machine) isPaused() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.paused
}
