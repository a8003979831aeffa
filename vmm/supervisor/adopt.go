package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/ipc"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/record"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// adoptWithin bounds how long a machine may take to answer who wants to adopt its guest: it serves one supervisor at a time,
// and who comes second is not answered.
const adoptWithin = 3 * time.Second

// AdoptConfig is what `vmm adopt` was asked for.
type AdoptConfig struct {
	Dir     string // state folder, of Dir
	Name    string
	Alone   bool              // as Confinement has it
	Started func(api.Started) // called once the guest is ours
}

// Adopt takes over the guest of a machine whose supervisor died, and supervises it to its end. An error means that it is as it was.
// Errors: an *api.Error of code no_such_machine, or bad_state if its supervisor lives, or another has been quicker.
func Adopt(ctx context.Context, c AdoptConfig) (Exit, error) {
	s, err := adopt(c.Dir, c.Name)
	if err != nil {
		return Exit{Code: 1}, err
	}
	s.confinement.Alone = c.Alone
	go s.shed()
	notifyStarted(c.Started, s.introduce())
	return s.wait(ctx), nil
}

// adopt makes a supervisor of a machine that has none.
func adopt(dir, name string) (*supervisor, error) {
	_, err := Open(dir, name)
	if known, ok := errors.AsType[*api.Error](err); err == nil {
		return nil, api.Errorf(api.CodeBadState, "vmm info "+name, "%q has a supervisor", name)
	} else if !ok || known.Code != api.CodeOrphaned {
		return nil, err
	}
	st, err := readStatus(dir, name)
	if err != nil {
		return nil, err
	}
	s := &supervisor{
		dir: dir, console: st.Console, began: time.Now(), startedAt: st.StartedAt,
		finished: make(chan struct{}), changed: make(chan struct{}),
	}
	if s.guard, err = st.Guard.check(dir); err != nil {
		return nil, err
	}
	ready := make(chan struct{}) // what the machine asks meanwhile waits
	p, lock, state, err := attachTo(pathOf(dir, name, "ipc"), st.MachinePID, func(ctx context.Context, r *ipc.Request) (ipc.Reply, error) {
		<-ready
		return s.serveMachine(ctx, r)
	})
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	s.proc, p.confinement = p, st.Confinement
	s.state, s.pulling = state, state == api.StatePulling
	// From here on nobody else is its supervisor.
	if s.name = inheritedName(dir, name, []*os.File{lock}); s.name == nil {
		err = errors.New("the lock that the machine has is not its name's")
	} else {
		err = s.takeOver(st)
	}
	if err != nil {
		close(ready)
		p.conn.Close()
		return nil, fmt.Errorf("adopting %s: %w", name, err)
	}
	close(ready)
	if d := s.leaving; d != nil {
		go s.attend(d)
	}
	s.log.Info("adopted", "machine", p.pid, "state", state)
	return s, nil
}

// attachTo connects to a machine process, which answers with the lock of its name and its state.
func attachTo(path string, pid int, handler ipc.Handler) (*process, *os.File, api.State, error) {
	fail := func(err error) (*process, *os.File, api.State, error) {
		return nil, nil, "", api.Errorf(api.CodeBadState, "see who has it: vmm ps; or end it: vmm kill", "the machine process %d does not let itself be adopted: %v", pid, err)
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fail(err)
	}
	f, err := ipc.Dial(path)
	if err != nil {
		unix.Close(pidfd)
		return fail(err)
	}
	p := &process{conn: ipc.New(f, handler), pid: pid, gone: make(chan struct{})}
	ctx, cancel := context.WithTimeout(context.Background(), adoptWithin)
	defer cancel()
	var a vmm.Adopted
	files, err := p.conn.Call(ctx, vmm.MethodAdopt, nil, &a)
	if err == nil && (len(files) != 1 || a.PID != pid) {
		for _, f := range files {
			f.Close()
		}
		err = fmt.Errorf("it says that it is process %d, with %d files", a.PID, len(files))
	}
	if err != nil {
		p.conn.Close()
		unix.Close(pidfd)
		return fail(err)
	}
	p.watch(pidfd)
	return p, files[0], api.State(a.State), nil
}

// watch notes the end of a process that is another's child: how it ended nobody tells.
func (p *process) watch(pidfd int) {
	killed := make(chan struct{}, 1)
	p.kill = func() {
		if unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0) == nil {
			select {
			case killed <- struct{}{}:
			default:
			}
		}
	}
	go func() {
		defer close(p.gone)
		p.err = pollUntilDead(context.Background(), pidfd)
		select {
		case <-killed:
			p.killed = true
		default:
			if p.err == nil {
				p.err = errors.New("how is not known: it is not our child")
			}
		}
	}()
}

// takeOver opens anew what the supervisor that died had open, and makes known that this is the supervisor.
func (s *supervisor) takeOver(st status) (err error) {
	if s.logFile, err = os.OpenFile(s.name.path("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND|unix.O_CLOEXEC, 0o600); err != nil {
		return noDir(err)
	}
	s.equip()
	if s.ends, err = s.console.reopen(); err != nil {
		return err
	}
	if s.attached, err = reattach(st.Devices, s.hooks); err != nil {
		s.ends.close()
		return err
	}
	s.leaving = s.underway()
	if err := os.Remove(s.name.path("sock")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return noDir(err)
	}
	if err := s.server.listen(s.name.path("sock")); err != nil {
		return err
	}
	s.mu.Lock()
	err = s.describeLocked(st.CPUs, st.MemoryBytes)
	s.mu.Unlock()
	if err != nil {
		return noDir(err)
	}
	s.serveConsole()
	s.attached.network().activate(s.name.name, s.log)
	if err := s.attached.serve(s); err != nil {
		s.log.Error("the sockets of the guest's devices", "error", err)
	}
	return nil
}

// attend waits for the end of a move that began under the supervisor before. One by which the guest leaves ends with the machine.
func (s *supervisor) attend(d *departure) {
	for {
		s.mu.Lock()
		state, changed := s.state, s.changed
		s.mu.Unlock()
		if state == api.StateRunning || state == api.StatePaused {
			// So it was also when the move had just begun: the machine has its record then.
			if living, err := d.living(); err != nil || !living {
				s.departed(d)
				return
			}
			ctx, cancel := context.WithTimeout(context.Background(), obeyWithin)
			_ = d.obeyed(ctx) // or the state has changed meanwhile
			cancel()
			continue
		}
		select {
		case <-changed:
		case <-s.finished:
			return
		}
	}
}

// living tells whether the machine of the move still has its record.
func (d *departure) living() (bool, error) {
	f, err := record.Open(d.ledger.own, record.Source, d.query.Move)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return record.Living(f)
}

// underway is the move from here that the machine goes on with; nil: none.
func (s *supervisor) underway() *departure {
	all, err := record.List(s.guard.ledger.own, record.Source)
	if err != nil {
		s.log.Warn("looking for the record of a move", "error", err)
		return nil
	}
	for _, r := range all {
		addr, err := api.ParseAddress(r.Address)
		if r.Name != s.name.name || !r.Living || err != nil {
			continue
		}
		d := &departure{query: migration.Query{Move: r.Move, Epoch: r.Epoch}, target: place{address: addr, tls: r.TLS}, ledger: s.guard.ledger, log: s.log}
		if s.guard.hook != "" {
			d.fence = newFencing(s.guard.hook, s.logFile, d)
		}
		return d
	}
	return nil
}

// introduce is the machine as those hear of it who wait for it.
func (s *supervisor) introduce() api.Started {
	s.mu.Lock()
	defer s.mu.Unlock()
	return api.Started{Name: s.name.name, PID: s.proc.pid, Socket: s.name.path("sock")}
}

// reattach takes charge of what a guest works on, which its machine has open.
func reattach(devices []vmm.Device, hooks *netHooks) (_ *attachments, err error) {
	a := &attachments{networks: networks{hooks: hooks}}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	for _, d := range devices {
		switch {
		case d.Kind == vmm.KindNet && d.Net != nil:
			err = a.adoptNet(d)
		case d.Kind == vmm.KindConsole:
			var c Console
			if c, err = ParseConsole(d.Spec); err == nil {
				err = a.addSocketConsole(c, d)
			}
		case d.Kind == vmm.KindVsock && d.Vsock != nil:
			if err = removeStale(d.Vsock.Path); err == nil {
				err = a.addVsock(*d.Vsock, false)
			}
		default:
			a.devices = append(a.devices, d)
		}
		if err != nil {
			return nil, err
		}
	}
	return a, nil
}

// addSocketConsole makes the socket of a virtio console again. Any other end is the machine's.
func (a *attachments) addSocketConsole(c Console, d vmm.Device) error {
	if c.Kind != "unix" {
		a.devices = append(a.devices, d)
		return nil
	}
	if err := removeStale(c.Path); err != nil {
		return api.Errorf("virtio-console", "remove what is at that path", "virtio-console: %s: %v", c.Path, err)
	}
	return a.addConsole(c, false)
}

// reopen is open for a guest that has the console already: a socket is made again, and any other end is the machine's.
func (c Console) reopen() (*consoleEnds, error) {
	if c.Kind != "unix" {
		return &consoleEnds{}, nil
	}
	if err := removeStale(c.Path); err != nil {
		return nil, api.Errorf("console", "remove what is at that path", "console: %s: %v", c.Path, err)
	}
	return c.open()
}
