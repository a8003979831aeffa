package vmm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ferryvmm/ferry/devices/console"
	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vcpu"
)

// target takes a guest into this process. It is the migration.Host and, once
// built, the migration.Built of one attempt.
type target struct {
	p       *process
	sys     *kvm.System
	console *console.Hub
	track   Tracking
	move    migration.MoveID // zero: a snapshot
	token   uint64           // by which the source lets its images be known; 0: a snapshot

	m         *Machine
	lock      *os.File // keeps the guest's name
	record    *os.File // of the move; nil: a snapshot
	rehearsed time.Duration
	runs      atomic.Bool
	told      chan struct{} // closed when the supervisor knows that it runs

	handed bool // it comes from a process of this host, with what it works on
	heir   bool // its name is its source's, until the source has gone

	userfault   *os.File // /dev/userfaultfd; nil: no page may be missing
	noUserfault string   // why
}

var (
	_ migration.Host  = (*target)(nil)
	_ migration.Built = (*target)(nil)
)

// Build checks that the guest can run here, builds it and rehearses its restore.
func (t *target) Build(ctx context.Context, d migration.Description) (migration.Built, error) {
	b, err := t.build(ctx, d)
	if err != nil {
		return nil, refusal(err)
	}
	return b, nil
}

func (t *target) build(ctx context.Context, d migration.Description) (_ migration.Built, err error) {
	legacy := takeHanded(d.Handed)
	defer legacy.close()
	if t.handed = slices.Contains(d.Modes, migration.Local); t.handed {
		t.token = 0 // the locks of its images come with them
	}
	plan, err := decodePlan(d.Plan)
	if err != nil {
		return nil, &Failure{Code: "plan", Message: err.Error(), Remedy: "use the same version of vmm on both hosts"}
	}
	if plan.Layout.Size() != d.Layout.Size() || len(plan.Layout) != len(d.Layout) {
		return nil, &Failure{Code: "plan", Message: "the plan's memory is not the move's", Remedy: "use the same version of vmm on both hosts"}
	}
	host, err := vcpu.HostModel(t.sys, plan.CPUs)
	if err != nil {
		return nil, err
	}
	if err := host.Check(vcpu.Model{CPUID: plan.CPUID, MSRs: plan.MSRs}); err != nil {
		return nil, &Failure{Code: "cpu", Message: fmt.Sprintf("this host's CPU cannot stand in for the source's: %v", err), Remedy: "move to a host with the same CPU features"}
	}
	// The supervisor says which name the guest will have, and whether its
	// memory fits.
	var claimed Claimed
	want := Arriving{Name: plan.Name, CPUs: plan.CPUs, MemoryBytes: plan.Layout.Size(), HugePages: plan.HugePages, Devices: plan.devices(), Move: t.move, Token: t.token, Handed: t.handed}
	var name []*os.File
	if f := legacy.fileSet[RoleName]; f != nil {
		name = append(name, f)
	}
	got, err := t.p.conn.Call(ctx, MethodArriving, want, &claimed, name...)
	if err != nil {
		return nil, err
	}
	files := pairFiles(got, claimed.Roles)
	defer files.close()
	t.lock, t.heir = files.take(RoleName), claimed.Heir
	im, err := takeImages(legacy.fileSet)
	defer func() {
		if err != nil {
			im.close()
		}
	}()
	if err != nil {
		return nil, err
	}
	legacy.devices(files)
	backs, err := takeBackends(files, plan.devices(), t.p, t.p.log)
	if err != nil {
		return nil, err
	}
	plan.Name = claimed.Name
	if plan.Slots, err = place(claimed.Devices); err != nil {
		return nil, err
	}
	scale(plan.CPUs)
	backs.lent = t.handed
	var memory []*os.File
	if t.handed {
		if memory, err = legacy.memory(len(plan.Layout)); err != nil {
			return nil, err
		}
	}
	m, err := newMachine(t.sys, plan, t.track, im, backs, memory, t.console, t.p.log, t.p.note, t.p.end)
	if err != nil {
		return nil, err
	}
	t.m = m
	if t.rehearsed, err = m.instance.rehearse(plan, m.wiring()); err != nil {
		return nil, fmt.Errorf("rehearsing the restore: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.nics() { // until the restore makes others
		d.Discard()
	}
	return t, nil
}

// Name is the guest's name here.
func (t *target) Name() string { return t.m.plan.Name }

// Memory is the guest's memory.
func (t *target) Memory() *guestmem.Memory { return t.m.instance.memory }

// Pull makes the memory ready to start with pages missing.
func (t *target) Pull() (*guestmem.Pull, error) {
	const remedy = "use --mode precopy; or let receive open /dev/userfaultfd (run it as root), on Linux 6.1 or later"
	if t.userfault == nil {
		return nil, refusal(&Failure{Code: "userfaultfd", Message: "the target cannot start a guest with memory missing: " + t.noUserfault, Remedy: remedy})
	}
	p, err := t.m.instance.memory.Pull(t.userfault)
	if err != nil {
		return nil, refusal(&Failure{Code: "userfaultfd", Message: fmt.Sprintf("the target cannot start a guest with memory missing: %v", err), Remedy: remedy})
	}
	return p, nil
}

// broken ends a guest whose page faults cannot be served.
func (t *target) broken(err error) {
	t.p.log.Error("page faults cannot be served", "error", err)
	t.p.end(Ending{Code: 3, Reason: fmt.Sprintf("lost: page faults cannot be served: %v", err)})
}

// follow keeps the machine's state in step with a pull.
func (t *target) follow(p migration.Progress) {
	switch p.Phase {
	case migration.PhasePull, migration.PhaseRejoin:
		t.m.pulls(true)
		t.m.mourn()
	case migration.PhaseRelease:
		t.m.pulls(false)
	}
}

// Rehearsal is what the rehearsed restore took.
func (t *target) Rehearsal() time.Duration { return t.rehearsed }

// Blob returns where to put a boot image.
func (t *target) Blob(b migration.BlobInfo) (io.WriteCloser, error) {
	w, err := t.m.images.incoming(b)
	if err != nil {
		return nil, refusal(err)
	}
	return w, nil
}

// Restore takes the images over and loads the guest's state.
func (t *target) Restore(sections []migration.Section) error {
	if t.token != 0 {
		if err := errors.Join(t.m.backs.lock(lockWithin), t.m.backs.refresh()); err != nil {
			return refusal(err)
		}
	}
	sections, paused, err := takePaused(sections)
	if err != nil {
		return refusal(err)
	}
	report, err := t.m.instance.restore(sections, t.m.plan, t.m.wiring())
	if err != nil {
		return refusal(err)
	}
	t.m.backs.lent = false
	t.m.mu.Lock()
	t.m.paused = paused
	t.m.mu.Unlock()
	t.p.log.Info("restored", "tsc", report.TSC)
	return nil
}

// Start runs the guest, unless it came paused, and tells the supervisor that it is ours.
func (t *target) Start() error {
	if err := t.m.start(); err != nil {
		return err
	}
	if !t.handed {
		t.m.announce()
	}
	t.runs.Store(true)
	t.p.adopt(t.m)
	t.p.mu.Lock()
	if t.lock != nil {
		t.p.held = append(t.p.held, t.lock)
	}
	t.p.sworn = t.record
	t.p.mu.Unlock()
	t.told = make(chan struct{})
	state := t.m.current()
	go func() {
		defer close(t.told)
		_, _ = t.p.conn.Call(context.Background(), MethodRuns, state, nil)
	}()
	return nil
}

// Network implements migration.Built. A network that the guest brings along has nothing to catch up with.
func (t *target) Network() migration.NetworkTarget {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	if t.handed || len(t.m.nics()) == 0 {
		return nil
	}
	return &delivery{m: t.m}
}

// Images implements migration.Built: of a guest that comes from another process the images are those that its source has.
func (t *target) Images() migration.Images { return t.m.backs.shared() }

// unlessStarted lets the record go of a guest that does not run here. That of
// one that does stays open, and so tells that it lives.
func (t *target) unlessStarted() {
	if !t.runs.Load() {
		t.record.Close()
	}
}

// settled waits until the supervisor knows whether the guest runs, so that it
// hears so before it hears how the move ended.
func (t *target) settled() {
	if t.told != nil {
		<-t.told
		if t.heir {
			if _, err := t.p.conn.Call(context.Background(), MethodSettle, nil, nil); err != nil {
				t.p.log.Warn("taking the guest's name over", "error", err)
			}
		}
	}
	if t.userfault != nil {
		t.userfault.Close()
	}
}

// Discard gives everything back.
func (t *target) Discard() error {
	if t.lock != nil {
		t.lock.Close()
	}
	if t.m != nil {
		if t.handed {
			t.m.leaveBehind()
		}
		t.m.close()
		t.m.images.close()
	}
	return nil
}
