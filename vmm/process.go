package vmm

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/ferryvmm/ferry/devices/console"
	"github.com/ferryvmm/ferry/devices/virtio/vsock"
	"github.com/ferryvmm/ferry/internal/ipc"
	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/internal/resident"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vcpu"
	"github.com/ferryvmm/ferry/vmm/record"
)

// process is the machine process: the guest that it has, or is about to have.
type process struct {
	conn  boss
	up    sync.WaitGroup // conn is set once it is done
	owner uint32         // the user who may adopt the guest, beside root
	log   *slog.Logger
	ends  chan Ending
	once  sync.Once
	// taking counts the guests that are being taken in.
	taking sync.WaitGroup
	// joined brings the later connections of a move that a guest comes by; fetch is closed
	// when all that it misses is wanted, and ended when it is no more.
	joined  chan migration.Joined
	fetch   chan struct{}
	ended   chan struct{}
	fetches sync.Once

	mu      sync.Mutex // guards what follows
	machine *Machine
	held    []*os.File // open for as long as the process lives
	sworn   *os.File   // the record by which the guest came here; nil: it began here
}

// current returns the guest, nil if there is none yet.
func (p *process) current() *Machine {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine
}

// end ends the process with e.
func (p *process) end(e Ending) { p.once.Do(func() { p.ends <- e }) }

// farewell notes that the guest ended in order, for a source that may still ask.
func (p *process) farewell() {
	p.mu.Lock()
	f := p.sworn
	p.mu.Unlock()
	if f == nil {
		return
	}
	if err := record.Decide(f, record.Ended, record.ByTarget); err != nil {
		p.log.Warn("noting the guest's end in its ownership record", "error", err)
	}
}

// note tells the supervisor the machine's state.
func (p *process) note(s State) { _ = p.conn.Notify(NoteState, s) }

// adopt makes m the guest of this process.
func (p *process) adopt(m *Machine) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.machine = m
	p.attack()
}

// trim gives back what only the start of a guest needed. One that arrives is not
// trimmed: its exits would find their code gone, milliseconds behind the switch.
func (p *process) trim() {
	if err := resident.Trim(); err != nil {
		p.log.Warn("giving memory back", "error", err)
	}
}

// over ends a pull under way: a guest that is no more misses nothing. It waits a
// moment for the source to be told.
func (p *process) over() {
	close(p.ended)
	told := make(chan struct{})
	go func() {
		defer close(told)
		p.taking.Wait()
	}()
	t := time.NewTimer(answerWithin)
	defer t.Stop()
	select {
	case <-told:
	case <-t.C:
	}
}

// fetchAll has the source send all that the guest misses, and waits for that.
func (p *process) fetchAll(ctx context.Context, m *Machine) error {
	m.mu.Lock()
	pulling, whole := m.pulling, m.whole
	m.mu.Unlock()
	if !pulling {
		return badState("all of the guest's memory is here", "nothing is left to be fetched: vmm ps shows pulling while something is")
	}
	p.fetches.Do(func() { close(p.fetch) })
	select {
	case <-whole:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// scale gives the Go scheduler a P for every thread that may need one at once:
// a thread that returns from KVM_RUN without a free P waits up to 10 ms.
func scale(cpus int) { runtime.GOMAXPROCS(runtime.NumCPU() + cpus + faultThreads + 2) }

// faultThreads are those that serve a guest that misses pages, or a target whose guest does.
const faultThreads = 3

// openConsole makes the console of the descriptors that were handed over.
func openConsole(files fileSet) *console.Hub {
	return console.New(files.take(RoleConsoleOut), files.take(RoleConsoleIn))
}

var _ vsock.Host = (*process)(nil)

// Dial connects to a port of the host's side of the guest's vsock.
func (p *process) Dial(ctx context.Context, port uint32) (net.Conn, error) {
	files, err := p.conn.Call(ctx, MethodDial, Dial{Port: port}, nil)
	if err != nil {
		return nil, err
	}
	if len(files) != 1 {
		return nil, fmt.Errorf("dialling port %d: got %d files; want 1", port, len(files))
	}
	defer files[0].Close()
	return net.FileConn(files[0])
}

// chooseCPU is the CPU of a new guest.
func chooseCPU(sys *kvm.System, c Config) (vcpu.Model, error) {
	host, err := vcpu.HostModel(sys, c.CPUs)
	if err != nil {
		return vcpu.Model{}, err
	}
	cpu, err := host.Choose(c.CPU, c.CPUModel, c.CPUs)
	if err != nil {
		return cpu, &Failure{Code: "cpu", Message: fmt.Sprintf("cpu %s: %v", c.CPU, err), Remedy: "make the file with vmm cpu, from those of all hosts"}
	}
	return cpu, nil
}

// boot builds a new guest and runs it.
func (p *process) boot(r *ipc.Request) (ipc.Reply, error) {
	var b Boot
	if err := r.Decode(&b); err != nil {
		return ipc.Reply{}, err
	}
	files := takeFiles(r, b.Roles)
	defer files.close()
	sys, err := openSystem(files)
	if err != nil {
		return ipc.Reply{}, err
	}
	cpu, err := chooseCPU(sys, b.Config)
	if err != nil {
		return ipc.Reply{}, err
	}
	plan, err := NewPlan(b.Config, cpu)
	if err != nil {
		return ipc.Reply{}, err
	}
	im, err := openImages(files)
	if err != nil {
		return ipc.Reply{}, err
	}
	backs, err := takeBackends(files, plan.devices(), p, p.log)
	if err != nil {
		return ipc.Reply{}, err
	}
	scale(plan.CPUs)
	m, err := newMachine(sys, plan, b.Config.Tracking, im, backs, nil, openConsole(files), p.log, p.note, p.end)
	if err != nil {
		return ipc.Reply{}, err
	}
	if err := m.boot(); err != nil {
		m.close()
		return ipc.Reply{}, err
	}
	p.adopt(m)
	go p.trim()
	return ipc.Reply{Body: m.facts()}, nil
}
