package vmm

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/ferryvmm/ferry/vcpu"
)

// ready notes the guest's ready signal. It runs on a vCPU thread.
func (m *Machine) ready(monotonic int64) {
	go func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.readyAt = monotonic
	}()
}

// finish ends the machine with e, once.
func (m *Machine) finish(e Ending) {
	m.mu.Lock()
	if m.ended {
		m.mu.Unlock()
		return
	}
	m.ended = true
	m.mu.Unlock()
	m.quitMove(guestEnded("the guest ended: " + e.Reason))
	m.over(e)
}

// powerOff ends the guest as it asked.
func (m *Machine) powerOff() {
	m.mu.Lock()
	wrong := m.instance.board.wrong()
	m.mu.Unlock()
	if wrong {
		m.finish(Ending{Code: 4, Reason: "powered off, having counted something wrong"})
		return
	}
	m.finish(Ending{Code: 0, Reason: "powered off"})
}

// died ends the guest, or restarts it, after a vCPU of one of its lives can go
// no further.
func (m *Machine) died(i *instance, cpu int, e vcpu.Ending) {
	if m.leaving.Load() {
		return // it has asked for its end already: what its vCPUs run into meanwhile is nothing
	}
	m.mu.Lock()
	over := i != m.instance
	m.mu.Unlock()
	if over {
		return // of the life before a reset
	}
	switch e.Kind {
	case vcpu.SystemReset:
		m.wiring().reset()
	case vcpu.SystemShutdown:
		m.powerOff()
	case vcpu.Shutdown:
		m.log.Error("triple fault", "vcpu", cpu, "ending", e)
		m.finish(Ending{Code: 4, Reason: fmt.Sprintf("triple fault of vCPU %d", cpu)})
	default:
		m.log.Error("vCPU stopped", "vcpu", cpu, "ending", e)
		m.finish(Ending{Code: 1, Reason: fmt.Sprintf("vCPU %d: %v", cpu, e)})
	}
}

// reset gives the guest a new life from the same plan. A move under way ends
// first: what it has sent is of a guest that is no more.
func (m *Machine) reset() {
	m.quitMove(&Failure{Code: "guest_reset", Message: "the guest was reset", Remedy: "move it again: it starts anew here"})
	m.mu.Lock()
	for m.pulling { // what is missing comes by itself, and is for nobody then
		whole := m.whole
		m.mu.Unlock()
		<-whole
		m.mu.Lock()
	}
	defer m.mu.Unlock()
	if m.ended || m.move != nil { // it has left: no move begins while a guest resets
		return
	}
	if err := m.renew(); err != nil {
		m.log.Error("reset", "error", err)
		go m.finish(Ending{Code: 1, Reason: fmt.Sprintf("reset: %v", err)})
	}
}

// renew replaces the instance. Precondition: mu is held.
func (m *Machine) renew() error {
	if err := m.halt(context.Background()); err != nil {
		return err
	}
	if err := m.instance.close(); err != nil {
		m.log.Warn("closing the guest before its reset", "error", err)
	}
	i, err := m.build(nil)
	if err != nil {
		return err
	}
	m.instance = i
	m.leaving.Store(false)
	if err := i.load(m.plan, m.images); err != nil {
		return err
	}
	m.paused = false
	return m.run()
}

// join gives a connection to the device that it is for.
func (m *Machine) join(method string, f *os.File) error {
	switch method {
	case MethodConsole:
		m.console.Attach(f)
		return nil
	case MethodVirtioConsole:
		if m.backs.console != nil {
			m.backs.console.Attach(f)
			return nil
		}
	case MethodVsock:
		defer f.Close()
		conn, err := net.FileConn(f)
		if err != nil {
			return err
		}
		if m.accept(conn) {
			return nil
		}
		conn.Close()
	}
	f.Close()
	return badState("the guest has no such device", "start it with one: vmm run --help")
}

// accept gives a connection from the host to the guest's vsock, if it has one.
func (m *Machine) accept(conn net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.instance.board.slots {
		if s.part.accept != nil {
			s.part.accept(conn)
			return true
		}
	}
	return false
}
