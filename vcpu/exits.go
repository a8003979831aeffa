package vcpu

import (
	"fmt"

	"github.com/ferryvmm/ferry/internal/kvm"
)

// Exits is what a vCPU's thread calls when the guest touches a device. Calls come on several threads at once and must neither allocate
// nor call methods of the Set other than Kick. data aliases memory shared with the kernel: it has 1, 2, 4 or 8 bytes and is
// valid during the call only.
type Exits interface {
	// PortIn fills data from a port. A string instruction gives one call a repetition.
	PortIn(port uint16, data []byte)
	// PortOut takes data written to a port. A string instruction gives one call a repetition.
	PortOut(port uint16, data []byte)
	// MMIORead fills data from an address that no memory slot covers.
	MMIORead(addr uint64, data []byte)
	// MMIOWrite takes data written to an address that no memory slot covers.
	MMIOWrite(addr uint64, data []byte)
}

// Kind says how a vCPU ended.
type Kind uint8

//go:generate go tool stringer -type=Kind,Answer,ClockMode,TSCOutcome -output=string.go

// The ways in which a vCPU ends. None of them comes from a kick.
const (
	Shutdown       Kind = iota + 1 // triple fault
	SystemReset                    // the guest asked for a reset through KVM
	SystemShutdown                 // the guest asked for power-off through KVM, or crashed
	InternalError                  // KVM could not go on, for example could not emulate an instruction
	FailEntry                      // the processor refused the guest's state
	RunFailed                      // KVM_RUN failed
	UnexpectedExit                 // an exit that this package does not ask for
)

// Ending is why a vCPU will not run again.
type Ending struct {
	Kind   Kind
	Errno  kvm.Errno      // RunFailed
	Exit   kvm.ExitReason // UnexpectedExit
	Event  kvm.Event      // SystemReset, SystemShutdown, InternalError
	Reason uint64         // FailEntry: the hardware's reason
	RIP    uint64         // where the guest was, 0 if unknown
}

// String describes the ending for a person.
func (e Ending) String() string {
	switch e.Kind {
	case Shutdown:
		return fmt.Sprintf("triple fault at RIP %#x", e.RIP)
	case SystemReset, SystemShutdown:
		return fmt.Sprintf("%v (event %d)", e.Kind, e.Event.Kind)
	case InternalError:
		return fmt.Sprintf("KVM internal error, suberror %d, data %#x, at RIP %#x", e.Event.Kind, e.Event.Data[:e.Event.NData], e.RIP)
	case FailEntry:
		return fmt.Sprintf("guest entry failed, hardware reason %#x, at RIP %#x", e.Reason, e.RIP)
	case RunFailed:
		return fmt.Sprintf("KVM_RUN: %v, at RIP %#x", e.Errno, e.RIP)
	case UnexpectedExit:
		return fmt.Sprintf("unexpected %v at RIP %#x", e.Exit, e.RIP)
	}
	return e.Kind.String()
}

// dispatch handles the exit that KVM_RUN returned with. ok is false when the vCPU has ended.
func (c *cpu) dispatch() (e Ending, ok bool) {
	c.drain() // coalesced writes came before this access
	exits := c.set.cfg.Exits
	switch reason := c.kvm.ExitReason(); reason {
	case kvm.ExitIO:
		c.exits.io.Add(1)
		io := c.kvm.IO()
		for at := 0; at < len(io.Data); at += io.Size {
			if data := io.Data[at : at+io.Size : at+io.Size]; io.Out {
				exits.PortOut(io.Port, data)
			} else {
				exits.PortIn(io.Port, data)
			}
		}
		return Ending{}, true
	case kvm.ExitMMIO:
		c.exits.mmio.Add(1)
		if addr, data, write := c.kvm.MMIO(); write {
			exits.MMIOWrite(addr, data)
		} else {
			exits.MMIORead(addr, data)
		}
		return Ending{}, true
	case kvm.ExitIntr:
		return Ending{}, true
	case kvm.ExitDirtyRingFull:
		c.exits.ringFull.Add(1)
		if d := c.set.cfg.Dirty; d == nil || d.Collect(c.index) != nil {
			return Ending{Kind: UnexpectedExit, Exit: reason}, false
		}
		c.pace()
		return Ending{}, true
	case kvm.ExitShutdown:
		return Ending{Kind: Shutdown}, false
	case kvm.ExitSystemEvent:
		e := Ending{Kind: SystemShutdown, Event: c.kvm.Event()}
		if e.Event.Kind == kvm.SystemEventReset {
			e.Kind = SystemReset
		}
		return e, false
	case kvm.ExitInternalError:
		return Ending{Kind: InternalError, Event: c.kvm.Event()}, false
	case kvm.ExitFailEntry:
		hardware, _ := c.kvm.FailEntry()
		return Ending{Kind: FailEntry, Reason: hardware}, false
	default:
		return Ending{Kind: UnexpectedExit, Exit: reason}, false
	}
}

// drain delivers the writes that wait in the VM's coalesced ring. The ring is shared by all vCPUs; a write of this one is delivered
// when drain returns, whoever did it.
func (c *cpu) drain() {
	if !c.kvm.CoalescedPending() {
		return
	}
	c.set.ring.Lock()
	defer c.set.ring.Unlock()
	c.kvm.DrainCoalesced(c.set.coalesced)
}

// deliver hands one coalesced write to its device.
func (s *Set) deliver(pio bool, addr uint64, data []byte) {
	if pio {
		s.cfg.Exits.PortOut(uint16(addr), data)
	} else {
		s.cfg.Exits.MMIOWrite(addr, data)
	}
}
