package kvmtest

import (
	"encoding/binary"

	"github.com/ferryvmm/ferry/internal/kvm"
)

// Where User puts what it needs, in guest memory.
const (
	tablesAt = 0x10000 // three page tables
	taskAt   = 0x14000 // a task state segment, with its bitmap of ports
	UserEnd  = 0x18000 // the first address that User does not use; below tablesAt there is room for code
)

// User makes a vCPU run 64-bit code at rip in ring 3, as software KVM runs at full speed, with I/O privilege and the first GiB mapped
// one to one. low is guest memory from address 0, at least UserEnd bytes; the registers but RIP are those in r.
func User(cpu *kvm.VCPU, low []byte, rip uint64, r kvm.Regs) error {
	le := binary.LittleEndian
	le.PutUint64(low[tablesAt:], tablesAt+0x1000|7)
	le.PutUint64(low[tablesAt+0x1000:], tablesAt+0x2000|7)
	for i := range uint64(512) {
		le.PutUint64(low[tablesAt+0x2000+8*i:], i<<21|0x87)
	}
	var s kvm.Sregs2
	if err := cpu.Sregs2(&s); err != nil {
		return err
	}
	s.CR0, s.CR3, s.CR4, s.EFER = 0x80000031, tablesAt, 0x620, 0x500
	const flat = 1<<32 - 1
	s.CS = kvm.Segment{Limit: flat, Selector: 0x0b, Type: 0xb, Present: 1, DPL: 3, S: 1, L: 1, G: 1}
	d := kvm.Segment{Limit: flat, Selector: 0x13, Type: 3, Present: 1, DPL: 3, DB: 1, S: 1, G: 1}
	s.DS, s.ES, s.FS, s.GS, s.SS = d, d, d, d, d
	// Software KVM wants a bitmap that allows the port, whatever the privilege level.
	const bitmapOffset, bitmap, bitmapSize = 0x66, 0x68, 8192
	le.PutUint16(low[taskAt+bitmapOffset:], bitmap)
	s.TR = kvm.Segment{Base: taskAt, Limit: bitmap + bitmapSize, Selector: 0x18, Type: 0xb, Present: 1}
	if err := cpu.SetSregs2(&s); err != nil {
		return err
	}
	r.RIP, r.RFLAGS = rip, 2|3<<12
	return cpu.SetRegs(&r)
}
