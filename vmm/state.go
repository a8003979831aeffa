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
	devicesVersion = 2 // 1 had no clock and no button
	slotVersion    = 1
)

// save returns the state of everything but memory. Precondition: every vCPU is
// parked and every device at rest.
func (i *instance) save() ([]migration.Section, error) {
	devices, err := migration.NewSection(sectionDevices, devicesVersion, i.board.save())
	if err != nil {
		return nil, err
	}
	sections := []migration.Section{devices}
	for _, s := range i.board.slots {
		state, err := s.save()
		if err != nil {
			return nil, fmt.Errorf("saving %v: %w", s.plan.Device, err)
		}
		section, err := migration.NewSection(s.plan.section(), slotVersion, state)
		if err != nil {
			return nil, err
		}
		sections = append(sections, section)
	}
	state, err := i.cpus.Save()
	if err != nil {
		return nil, fmt.Errorf("saving the vCPUs: %w", err)
	}
	cpus, err := migration.NewSection(sectionVCPU, vcpuVersion, state)
	if err != nil {
		return nil, err
	}
	return append(sections, cpus), nil
}

// restore loads a state into an instance of the same plan. It may be called
// again and again. Precondition: every vCPU is parked.
func (i *instance) restore(sections []migration.Section, p Plan, w wiring) (vcpu.Report, error) {
	saved, state, err := decodeSections(sections, p)
	if err != nil {
		return vcpu.Report{}, err
	}
	// The devices before go first: both would work on the same backends.
	if err := i.board.close(); err != nil {
		return vcpu.Report{}, err
	}
	b, err := newBoard(p, i.vm, i.memory, w, i.wires, saved)
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

// decodeSections reads the sections that a guest of this plan has.
func decodeSections(sections []migration.Section, p Plan) (*savedBoard, vcpu.State, error) {
	var state vcpu.State
	ids := []string{sectionDevices, sectionVCPU}
	for _, s := range p.Slots {
		ids = append(ids, s.section())
	}
	known, err := migration.Pick(sections, ids...)
	if err != nil {
		return nil, state, &Failure{Code: "state", Message: err.Error(), Remedy: "use the same version of vmm on both hosts"}
	}
	saved := &savedBoard{slots: make(map[string]*slotState)}
	decode := func(id string, oldest, newest uint16, v any) {
		s := known[id]
		switch {
		case err != nil:
		case s.Version < oldest || s.Version > newest:
			err = &Failure{Code: "state", Message: fmt.Sprintf("state of %s: version %d; this vmm knows %d to %d", id, s.Version, oldest, newest),
				Remedy: "use the same version of vmm on both hosts"}
		default:
			err = s.Decode(v)
		}
	}
	decode(sectionDevices, 1, devicesVersion, &saved.fixed)
	decode(sectionVCPU, vcpuVersion, vcpuVersion, &state)
	for _, s := range p.Slots {
		k := new(slotState)
		saved.slots[s.section()] = k
		decode(s.section(), slotVersion, slotVersion, k)
	}
	return saved, state, err
}

// rehearsals is how often a step is timed before the fastest is believed: on a
// busy host one sample may have waited for a CPU, and a forecast made of it
// would keep a move from ever coming to its stop.
const rehearsals = 3

// rehearse restores a trial state of the plan's shape and times it, so that the
// steps of the switchover are known, and warm, before the guest is paused.
// Precondition: the instance is fresh.
func (i *instance) rehearse(p Plan, w wiring) (time.Duration, error) {
	if w.backends.lent {
		p.Slots = nil
	}
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

// start lets a restored guest run, unless it is paused, and its console type to it.
func (m *Machine) start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.atRest = m.paused; m.paused {
		m.console.SetInput(m.instance.board.serial)
		return nil
	}
	return m.run()
}
