// Package supervisor is the privileged half of a machine: it owns the name, the
// API socket, the connections and the files, starts the machine process, hands
// it descriptors, and cleans up after it. It never maps guest memory, and a
// guest outlives it.
package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/calmlog"
	"github.com/ferryvmm/ferry/internal/ipc"
	"github.com/ferryvmm/ferry/internal/resident"
	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// Exit is how a machine ended: the command's exit code (contract.md) and why.
type Exit struct {
	Code   int
	Reason string
}

// stopPatience is how long a guest that was asked to stop is given.
const stopPatience = 10 * time.Second

// refusedEvery is how often at most a refused dial is logged: a guest can dial at
// any rate.
const refusedEvery = time.Second

// unmetEvery is how often at most it is logged that a target could not be reached: in a pull that is tried twice a second.
const unmetEvery = 10 * time.Second

// supervisor is one machine's, or one receiver's, supervisor.
type supervisor struct {
	dir     string
	console Console
	ends    *consoleEnds
	logFile *os.File
	log     *slog.Logger
	refused calmlog.Log // of the vsock's dials
	unmet   calmlog.Log // why the target of a move could not be reached once more
	guard   guarded
	began   time.Time
	hooks   *netHooks
	events  broadcast
	// telling is held for reading while the result of a move is awaited: the last event is told behind it.
	telling sync.RWMutex
	// confinement is that of the machine process.
	confinement Confinement

	mu        sync.Mutex // guards what follows
	name      *name
	proc      *process // nil while a receiver waits
	spare     *process // ready for the guest that a receiver waits for; nil: none
	state     api.State
	changed   chan struct{} // closed when state changes
	startedAt time.Time     // when the guest began to run here
	ended     *vmm.Ending
	listening string
	transit   *transit     // the move or snapshot under way, or the last one
	attempts  int          // moves to a receiver that began
	failure   error        // of the last of them
	leaving   *departure   // the move from here that is under way, or in doubt
	renames   bool         // the machine takes the name of the guest that arrives
	claimed   *name        // the name claimed for it
	heir      bool         // that is still its source's
	guest     vmm.Arriving // what is said to arrive
	arrived   func()       // called when it runs
	tracking  vmm.Tracking // of a guest that arrives
	places    Places       // where a guest that arrives finds what it works on
	attached  *attachments // what the guest works on
	pulling   bool         // memory of the guest is at two hosts, or was
	mourn     func()       // lets the source of a guest that arrived know of its death
	quit      func()       // ends the waiting of a receiver

	// finished is closed when the machine is gone and its files are removed.
	finished chan struct{}
	exit     Exit
	server   *server
}

// newSupervisor opens the log, the console and the API socket of a name. It
// owns the claim: if it fails, that is given up.
func newSupervisor(n *name, c Console) (_ *supervisor, err error) {
	defer func() {
		if err != nil {
			n.release(false)
		}
	}()
	log, err := os.OpenFile(n.path("log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC|os.O_APPEND|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, noDir(err)
	}
	ends, err := c.open()
	if err != nil {
		log.Close()
		return nil, err
	}
	s := &supervisor{
		dir: n.dir, console: c, ends: ends, logFile: log, began: time.Now(), name: n,
		finished: make(chan struct{}),
		changed:  make(chan struct{}),
	}
	s.equip()
	if err := s.server.listen(n.path("sock")); err != nil {
		ends.close()
		log.Close()
		return nil, err
	}
	s.serveConsole()
	return s, nil
}

// equip gives the supervisor what works by its log.
func (s *supervisor) equip() {
	s.log = slog.New(slog.NewTextHandler(s.logFile, &slog.HandlerOptions{ReplaceAttr: universal})).With("process", "supervisor")
	s.refused = calmlog.Log{Log: s.log, Every: refusedEvery}
	s.unmet = calmlog.Log{Log: s.log, Every: unmetEvery}
	s.hooks = &netHooks{dir: netHooksDir(), within: netHookWithin, log: s.log, out: s.logFile}
	s.server = newServer(s)
}

// universal has times of a log be UTC: the machine, which writes to it, too, cannot read the host's time zone.
func universal(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		a.Value = slog.TimeValue(a.Value.Time().UTC())
	}
	return a
}

// serveConsole gives each connection of the console's socket to the machine.
func (s *supervisor) serveConsole() {
	s.ends.serve(func(f *os.File) error {
		_, err := s.call(context.Background(), vmm.MethodConsole, nil, nil, f)
		return err
	})
}

// start makes the machine process of a guest.
func (s *supervisor) start() (*process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.takeSpare()
	if p == nil {
		var err error
		if p, err = spawn(s.name, s.logFile, s.log, s.confinement, s.serveMachine); err != nil {
			return nil, err
		}
	}
	s.proc = p
	return p, nil
}

// launch starts the machine process of a guest of that size, as far as it is
// known, and adds the console to the files for it. If it fails, no process is
// left.
func (s *supervisor) launch(files *handOver, cpus int, memory uint64) (*process, error) {
	p, err := s.start()
	if err != nil {
		return nil, err
	}
	if err = s.describe(cpus, memory); err != nil {
		err = noDir(err)
	} else {
		err = s.ends.hand(files, vmm.RoleConsoleIn, vmm.RoleConsoleOut)
	}
	if err != nil {
		p.kill()
		p.end()
		s.noMachine()
		return nil, err
	}
	return p, nil
}

// describe writes the status file that finds the machine without its supervisor.
func (s *supervisor) describe(cpus int, memory uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.describeLocked(cpus, memory)
}

// describeLocked is describe. Precondition: mu is held.
func (s *supervisor) describeLocked(cpus int, memory uint64) error {
	return s.describeAs(s.name, cpus, memory)
}

// describeAs notes for a later vmm which processes belong to a name. Precondition: mu is held.
func (s *supervisor) describeAs(n *name, cpus int, memory uint64) error {
	return status{
		Name: n.name, SupervisorPID: os.Getpid(), MachinePID: s.proc.pid,
		CPUs: cpus, MemoryBytes: memory, StartedAt: time.Now(), Routed: s.attached.network().routed(),
		Console: s.console, Devices: s.attached.works(), Guard: s.guard.given(), Confinement: s.proc.confinement,
	}.write(n)
}

// runs notes that the guest is here from now on. Once arrived is closed, at once where it is nil, this process gives up what only that needed.
func (s *supervisor) runs(arrived <-chan struct{}) api.Started {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.startedAt = time.Now()
	go s.lighten(arrived)
	return api.Started{Name: s.name.name, PID: s.proc.pid, Socket: s.name.path("sock")}
}

// lightenWithin bounds how long a process stays what it is for a guest whose pages come after it.
const lightenWithin = time.Second

// lighten waits for the end of a move, for it takes 20 ms of a processor, which a guest that has just stood still wants.
func (s *supervisor) lighten(arrived <-chan struct{}) {
	if arrived != nil {
		timer := time.NewTimer(lightenWithin)
		defer timer.Stop()
		select {
		case <-arrived:
		case <-timer.C:
		}
	}
	s.trim()
	s.shed()
}

// trim gives back what only the guest's start or arrival needed.
func (s *supervisor) trim() {
	if err := resident.Trim(); err != nil {
		s.log.Warn("giving memory back", "error", err)
	}
}

// listensAt notes that this is a receiver; quit ends its waiting.
func (s *supervisor) listensAt(addr string, quit func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.listening, s.quit = api.StateReceiving, addr, quit
}

// listensWhere is the address of a receiver.
func (s *supervisor) listensWhere() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listening
}

// isLost tells whether what is here of the guest is of no use.
func (s *supervisor) isLost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == api.StateLost
}

// setState notes the state of the machine.
func (s *supervisor) setState(st api.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setStateLocked(st)
}

// setStateLocked is setState. Precondition: mu is held.
func (s *supervisor) setStateLocked(st api.State) {
	news := s.state != st
	s.state = st
	if news {
		s.tellStateLocked()
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// setFirst is setState for the state in which a guest arrived: what the machine has
// noted since is newer.
func (s *supervisor) setFirst(st api.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == api.StateReceiving || s.state == "" { // as a receiver, or from a snapshot
		s.setStateLocked(st)
	}
}

// noMachine notes that the machine process of a failed attempt is gone.
func (s *supervisor) noMachine() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proc, s.ended = nil, nil
}

// onRuns has f called when the guest that arrives runs.
func (s *supervisor) onRuns(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrived = f
}

// machine returns the machine process, nil if there is none.
func (s *supervisor) machine() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc
}

// call asks the machine something. With no guest here it is a bad_state.
func (s *supervisor) call(ctx context.Context, method string, in, out any, files ...*os.File) ([]*os.File, error) {
	p := s.machine()
	if p == nil {
		return nil, api.Errorf(api.CodeBadState, "wait until a guest has arrived", "no guest runs here yet")
	}
	got, err := p.conn.Call(ctx, method, in, out, files...)
	return got, fromMachine(err)
}

// serveMachine handles what the machine asks or tells.
func (s *supervisor) serveMachine(ctx context.Context, r *ipc.Request) (ipc.Reply, error) {
	defer r.CloseFiles()
	switch r.Method {
	case vmm.NoteState:
		var st string
		if err := r.Decode(&st); err != nil {
			return ipc.Reply{}, err
		}
		s.setState(api.State(st))
		return ipc.Reply{}, nil
	case vmm.MethodEnded:
		var e vmm.Ending
		if err := r.Decode(&e); err != nil {
			return ipc.Reply{}, err
		}
		s.mu.Lock()
		s.ended = &e
		s.mu.Unlock()
		return ipc.Reply{}, nil
	case vmm.MethodLeave:
		s.mu.Lock()
		at := s.attached
		s.mu.Unlock()
		at.network().retire(s.log)
		return ipc.Reply{}, nil
	case vmm.NoteThread:
		return ipc.Reply{}, s.prefer(r)
	case vmm.NoteProgress:
		return ipc.Reply{}, s.noteProgress(r)
	case vmm.MethodReach:
		return s.reach(ctx)
	case vmm.MethodAsk:
		return s.ask(ctx, r)
	case vmm.MethodArriving:
		return s.arriving(r)
	case vmm.MethodDial:
		return s.dial(ctx, r)
	case vmm.MethodSettle:
		return ipc.Reply{}, s.inherit()
	case vmm.MethodRuns:
		return ipc.Reply{}, s.guestRuns(r)
	}
	return ipc.Reply{}, fmt.Errorf("machine asked %q", r.Method)
}

// wait waits for the end of the guest; an ended ctx asks it to stop. It
// returns when nothing of the machine is left.
func (s *supervisor) wait(ctx context.Context) Exit {
	p := s.machine()
	select {
	case <-p.gone:
	case <-ctx.Done():
		s.stop(p, nil)
	case <-s.ends.terminal.asked():
		s.stop(p, nil)
	}
	<-p.gone
	s.lastWords()
	return s.finish(s.verdict(p))
}

// verdict is how the machine ended, in its own words or as its death tells.
func (s *supervisor) verdict(p *process) Exit {
	p.conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state == api.StateLost:
		return Exit{Code: 3, Reason: "lost: its newer copy was killed at the target"}
	case s.ended != nil:
		return Exit{Code: s.ended.Code, Reason: s.ended.Reason}
	case p.killed:
		return Exit{Code: 137, Reason: "killed"}
	case s.state == api.StatePulling, s.pulling:
		return Exit{Code: 3, Reason: "lost: the machine process died while memory of the guest was on two hosts"}
	}
	return Exit{Code: 1, Reason: fmt.Sprintf("the machine process died (%v); see %s", p.err, s.name.path("log"))}
}

// finish removes everything of the machine, lets the requests that wait for
// that answer, and closes the API.
func (s *supervisor) finish(e Exit) Exit {
	s.mu.Lock()
	n := s.name
	ran := !s.startedAt.IsZero()
	d := s.leaving
	if s.ended != nil && s.ended.Handed {
		s.attached.network().leave()
	}
	s.mu.Unlock()
	s.dismiss()
	if d != nil { // what was here of the guest is gone
		s.departed(d)
	}
	s.log.Info("ended", "code", e.Code, "reason", e.Reason)
	s.tellEnd(e)
	s.ends.close()
	s.detach()
	s.server.unlisten()
	// The log of a guest that failed by itself is for the person who asks why.
	n.giveUp(ran && e.Code != 0 && e.Code != 137)
	s.exit = e
	close(s.finished)
	s.server.drain()
	s.logFile.Close()
	return e
}

// abandon ends a start that failed.
func (s *supervisor) abandon() {
	if p := s.machine(); p != nil {
		p.kill()
		p.end()
	}
	s.finish(Exit{Code: 1})
}

// stop asks the guest to end and insists after stopPatience, unless may, if it
// is not nil, has an objection by then.
func (s *supervisor) stop(p *process, may func() error) {
	if s.isLost() { // there is nobody to ask
		p.kill()
		<-p.gone
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	if _, err := p.conn.Call(ctx, vmm.MethodStop, nil, nil); err != nil {
		s.log.Info("the guest is ended without being asked", "reason", err)
	} else {
		select {
		case <-p.gone:
			return
		case <-ctx.Done():
			s.log.Warn("the guest did not end when asked", "after", stopPatience)
		}
	}
	if may != nil {
		if err := may(); err != nil {
			s.log.Warn("the guest is left to its move", "reason", err)
			return
		}
	}
	insist, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, _ = p.conn.Call(insist, vmm.MethodEnd, vmm.Ending{Code: 0, Reason: "stopped"}, nil)
	select {
	case <-p.gone:
	case <-insist.Done():
		p.kill()
		<-p.gone
	}
}
