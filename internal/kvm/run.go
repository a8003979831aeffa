package kvm

import "unsafe"

// ExitReason says why Run returned 0 (KVM_EXIT_*).
type ExitReason uint32

// The exits that a guest of ours can cause.
const (
	ExitUnknown       ExitReason = 0
	ExitException     ExitReason = 1
	ExitIO            ExitReason = 2
	ExitHypercall     ExitReason = 3
	ExitDebug         ExitReason = 4
	ExitHLT           ExitReason = 5
	ExitMMIO          ExitReason = 6
	ExitShutdown      ExitReason = 8
	ExitFailEntry     ExitReason = 9
	ExitIntr          ExitReason = 10
	ExitNMI           ExitReason = 16
	ExitInternalError ExitReason = 17
	ExitSystemEvent   ExitReason = 24
	ExitRDMSR         ExitReason = 29
	ExitWRMSR         ExitReason = 30
	ExitDirtyRingFull ExitReason = 31
	ExitNotify        ExitReason = 37
	ExitMemoryFault   ExitReason = 39
)

// The kinds of a system event.
const (
	SystemEventShutdown uint32 = 1
	SystemEventReset    uint32 = 2
	SystemEventCrash    uint32 = 3
)

// runState is the start of struct kvm_run, up to the end of its union of exits.
type runState struct {
	control    uint32 // request_interrupt_window, immediate_exit, padding
	padding    uint32
	exitReason ExitReason
	ready      uint8 // ready_for_interrupt_injection
	ifFlag     uint8
	flags      uint16
	cr8        uint64
	apicBase   uint64
	exit       [256]byte
}

// ioExit is kvm_run.io.
type ioExit struct {
	direction, size uint8
	port            uint16
	count           uint32
	dataOffset      uint64
}

// mmioExit is kvm_run.mmio.
type mmioExit struct {
	addr  uint64
	data  [8]byte
	len   uint32
	write uint8
}

// eventExit is the common shape of kvm_run.system_event and kvm_run.internal.
type eventExit struct {
	kind, ndata uint32
	data        [16]uint64
}

// failExit is kvm_run.fail_entry.
type failExit struct {
	reason uint64
	cpu    uint32
}

func exitAs[T any](c *VCPU) *T {
	// SAFETY: the union is 8-byte aligned and every T used here is smaller than its 256 bytes and has no pointers.
	return (*T)(unsafe.Pointer(&c.run.exit[0]))
}

// ExitReason returns why the last Run returned 0.
func (c *VCPU) ExitReason() ExitReason { return c.run.exitReason }

// IO describes a port access.
type IO struct {
	Out   bool
	Port  uint16
	Size  int    // bytes of one access: 1, 2 or 4
	Count int    // repetitions, for string instructions
	Data  []byte // Size*Count bytes in the shared mapping: to be filled for an input, before the next Run
}

// IO returns the port access of an ExitIO.
func (c *VCPU) IO() IO {
	e := exitAs[ioExit](c)
	n := uint64(e.size) * uint64(e.count)
	return IO{
		Out: e.direction == 1, Port: e.port, Size: int(e.size), Count: int(e.count),
		Data: c.mem[e.dataOffset : e.dataOffset+n : e.dataOffset+n],
	}
}

// MMIO returns the access of an ExitMMIO; data (1 to 8 bytes) is to be filled for a read, before the next Run.
func (c *VCPU) MMIO() (addr uint64, data []byte, write bool) {
	e := exitAs[mmioExit](c)
	n := min(e.len, uint32(len(e.data)))
	return e.addr, e.data[:n:n], e.write != 0
}

// Event is a system event (Kind is SystemEvent…) or an internal error (Kind is the suberror), with its data words.
type Event struct {
	Kind  uint32
	NData uint32
	Data  [16]uint64
}

// Event returns the data of an ExitSystemEvent or ExitInternalError.
func (c *VCPU) Event() Event {
	e := exitAs[eventExit](c)
	return Event{Kind: e.kind, NData: min(e.ndata, uint32(len(e.data))), Data: e.data}
}

// FailEntry returns the hardware's reason and the host CPU of an ExitFailEntry.
func (c *VCPU) FailEntry() (reason uint64, cpu uint32) {
	e := exitAs[failExit](c)
	return e.reason, e.cpu
}
