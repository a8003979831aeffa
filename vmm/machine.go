package vmm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ferryvmm/ferry/devices/console"
	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/vcpu"
)

// State is what a machine is doing, in the words of contract.md.
type State string

// The states that a machine process reports; its supervisor adds receiving
// and orphaned.
const (
	StateRunning      State = "running"
	StatePaused       State = "paused"
	StateMigrating    State = "migrating"
	StateWaiting      State = "waiting" // for somebody to continue the move; the guest is paused
	StateRelinquished State = "relinquished"
	StateInDoubt      State = "in_doubt"
	StatePulling      State = "pulling" // it runs here, and pages of it are still at its source
	StateServing      State = "serving" // it runs at the target, and its memory is here until it is fetched
	StateLost         State = "lost"
)

// pauseWithin bounds a pause: every exit is handled in microseconds.
const pauseWithin = 2 * time.Second

var errNotPaused = &Failure{Code: "not_paused", Message: fmt.Sprintf("its vCPUs did not stop within %v", pauseWithin), Remedy: "see what else uses this host's CPUs, and try again: the guest runs on"}

// Machine is a guest on this host: its plan, its console, and the instance
// that runs it.
//
//	           Pause            move begins
//	running ◄────────► paused  ─────────────► migrating ──► relinquished ──► (gone)
//	   ▲      Resume             ◄─────────────  │              │
//	   └──────────────────────────────────────────┘ failed       └──► in_doubt ──► lost
//
// Migrating passes through waiting where a person is to continue the move. A guest that
// arrived may be pulling before it is running.
type Machine struct {
	sys     *kvm.System
	plan    Plan
	track   Tracking
	images  *images
	backs   *backends
	console *console.Hub
	log     *slog.Logger
	// note tells the supervisor a new state.
	note func(State)
	// over is called once, when the guest has ended.
	over func(Ending)
	// closing is done when the machine goes away: a move waits for nothing then.
	closing context.Context
	leave   context.CancelFunc

	mu       sync.Mutex // guards what follows; never held across KVM_RUN
	state    State
	instance *instance
	paused   bool          // by a person, or for want of the images: a move that fails leaves it so
	atRest   bool          // its devices never worked here: it came paused
	handed   bool          // the images are unlocked, for a target: the guest must not run without them
	move     *move         // the move or snapshot under way
	pulling  bool          // pages are missing: what touches one waits for it
	bereaved bool          // the source is dead: what is missing never comes
	whole    chan struct{} // closed when none is any more; nil before the first
	ended    bool
	readyAt  int64 // CLOCK_MONOTONIC, ns

	// leaving: the guest asked for its end or its reset; it must not be moved.
	leaving atomic.Bool
}

// newMachine builds the guest of a plan, in the memory of these files if there
// are any; nothing runs.
func newMachine(sys *kvm.System, p Plan, k Tracking, im *images, backs *backends, memory []*os.File, hub *console.Hub, log *slog.Logger, note func(State), over func(Ending)) (*Machine, error) {
	m := &Machine{sys: sys, plan: p, track: k, images: im, backs: backs, console: hub, log: log, note: note, over: over, state: StatePaused}
	backs.origins = newOrigins(backs.disks, p.Layout)
	m.closing, m.leave = context.WithCancel(context.Background())
	i, err := m.build(memory)
	if err != nil {
		m.leave()
		return nil, err
	}
	m.instance = i
	return m, nil
}

func (m *Machine) build(memory []*os.File) (*instance, error) {
	var i *instance
	i, err := build(m.sys, m.plan, m.track, m.wiring(), memory, func(cpu int, e vcpu.Ending) { go m.died(i, cpu, e) })
	return i, err
}

// wiring is what the devices of this machine do to it. Of power-off and reset
// the first counts: a guest may try one after the other, until it is no more.
func (m *Machine) wiring() wiring {
	leave := func(how func()) {
		if m.leaving.CompareAndSwap(false, true) {
			go how()
		}
	}
	return wiring{
		console:  m.console,
		ready:    m.ready,
		powerOff: func() { leave(m.powerOff) },
		reset:    func() { leave(m.reset) },
		backends: m.backs,
		log:      m.log,
	}
}

// boot loads the guest's image and runs it.
func (m *Machine) boot() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.instance.load(m.plan, m.images); err != nil {
		return err
	}
	return m.run()
}

// run lets devices and vCPUs go. Precondition: mu is held.
func (m *Machine) run() error {
	if err := m.relock(lockWithin); err != nil {
		return err
	}
	m.console.SetInput(m.instance.board.serial)
	m.atRest = false
	m.instance.memory.Resume()
	m.instance.board.resume()
	if err := m.instance.cpus.Resume(); err != nil {
		return err
	}
	m.show(StateRunning)
	return nil
}

// relock takes back the images that a move handed over. While somebody else has
// them the guest must not write, and stays paused. Precondition: mu is held.
func (m *Machine) relock(within time.Duration) error {
	if !m.handed {
		return nil
	}
	if err := m.backs.lock(within); err != nil {
		m.paused = true
		return fmt.Errorf("the guest stays paused: %w", err)
	}
	m.handed = false
	return nil
}

// show is setState for who starts or stops the guest, while a move under way has
// no more to say. Precondition: mu is held.
func (m *Machine) show(s State) {
	if m.state == StateRunning || m.state == StatePaused {
		m.setState(s)
	}
}

// setState notes and tells the state. Precondition: mu is held.
func (m *Machine) setState(s State) {
	if m.state != s {
		m.state = s
		m.note(s)
	}
}

// Pause stops the guest until Resume. Pausing a paused guest does nothing. A move
// under way goes on, and the guest arrives paused.
func (m *Machine) Pause(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.steerable(); err != nil {
		return err
	}
	if m.paused {
		return nil
	}
	halt := m.halt
	if m.pulling {
		halt = m.hold
	}
	if err := halt(ctx); err != nil {
		return err
	}
	m.paused = true
	m.show(StatePaused)
	return nil
}

// Resume lets a paused guest go on, as Pause stops it. Resuming a running guest
// does nothing.
func (m *Machine) Resume() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.steerable(); err != nil {
		return err
	}
	if !m.paused {
		return nil
	}
	m.paused = false
	if m.pulling {
		m.setState(StatePulling)
	}
	if m.pulling && !m.atRest {
		return m.instance.cpus.Resume()
	}
	return m.run()
}

// steerable refuses to pause or resume a guest that stands still for a move, or
// has ended. Precondition: mu is held.
func (m *Machine) steerable() error {
	if !m.ended && m.move != nil && !m.move.halted {
		return nil
	}
	return m.usable()
}

// usable refuses what cannot be done while the guest moves, or after its end.
// Precondition: mu is held.
func (m *Machine) usable() error {
	switch {
	case m.ended:
		return badState("the guest has ended", "see what is left: vmm ps")
	case m.state == StateWaiting:
		return badState("the guest is paused, and waits to be switched over", "vmm migrate "+m.plan.Name+" --continue, or --cancel")
	case m.state == StateLost:
		return badState(m.whyLost(), "end it with vmm kill "+m.plan.Name+", and start it anew")
	case m.state == StateInDoubt:
		return badState("the guest is in_doubt", "bring the target's host or the network back, or decide: vmm migrate "+m.plan.Name+" --resolve source|target")
	case m.move != nil && m.move.meters:
		return badState("the guest's dirty rate is being measured", "try again when that is done, or end it: vmm migrate "+m.plan.Name+" --cancel")
	case m.move != nil:
		return badState(fmt.Sprintf("the guest is %s", m.state), "wait until the move has ended, or cancel it: vmm migrate "+m.plan.Name+" --cancel")
	}
	return nil
}

// halt stops every vCPU and every device, or none. Precondition: mu is held.
func (m *Machine) halt(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pauseWithin)
	defer cancel()
	i := m.instance
	i.memory.Interrupt() // a device that waits for a missing page would not come to rest
	answer, err := i.cpus.Pause(ctx)
	if err == nil && answer != vcpu.Paused {
		err = errNotPaused
	}
	if err == nil {
		if err = i.board.quiesce(ctx); err == nil {
			return nil
		}
	}
	// Those that did stop go on.
	i.memory.Resume()
	i.board.resume()
	return errors.Join(fmt.Errorf("pausing the guest: %w", err), i.cpus.Resume())
}

// AskToStop asks the guest to end: by the power button, and by the test device
// if it has one. Whoever stands still for a move is not asked: the state that
// would tell is saved already.
func (m *Machine) AskToStop() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.move != nil && m.move.halted {
		return nil
	}
	if m.paused {
		return badState("a paused guest cannot be asked", "resume it first: vmm resume "+m.plan.Name)
	}
	if t := m.instance.board.test; t != nil {
		t.RequestStop()
	}
	return m.instance.board.button.Press()
}

// current is the state as it was told last.
func (m *Machine) current() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

// alive tells whether there is a guest that can go on without a supervisor.
func (m *Machine) alive() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.ended
}

// close ends the guest, whatever it is doing. A move under way ends first, for
// it works on the guest's memory.
func (m *Machine) close() {
	m.mu.Lock()
	m.ended = true
	i := m.instance
	m.mu.Unlock()
	m.leave()
	m.quitMove(guestEnded("the guest was ended"))
	if err := i.close(); err != nil {
		m.log.Error("closing the guest", "error", err)
	}
	m.backs.close()
	m.console.Close()
}
