package vmm

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/ferryvmm/ferry/devices"
	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/vcpu"
	"github.com/ferryvmm/ferry/vmm/boot"
	"github.com/ferryvmm/ferry/vmm/firmware"
)

// Fixed places of a VM, below the 4 GiB line and above guest memory.
const (
	tssAddr      = 0xfffbd000 // three pages that KVM needs on Intel without unrestricted guest
	identityAddr = 0xfffbc000
)

// instance is one life of a guest: a KVM VM with its memory, vCPUs and devices.
// A reset ends it and builds another from the same plan.
type instance struct {
	vm     *kvm.VM
	memory *guestmem.Memory
	rings  *guestmem.Rings // nil: dirty pages are tracked by bitmap
	cpus   *vcpu.Set
	exits  exits
	board  *board
	wires  []*wires // of the plan's slots
	// saveCost is what saving the state takes, measured before the guest ran.
	saveCost time.Duration
}

// exits passes a vCPU's accesses on to the bus. The bus is replaced as a whole
// when devices are restored: only while every vCPU is parked.
type exits struct{ bus atomic.Pointer[devices.Bus] }

var _ vcpu.Exits = (*exits)(nil)

func (e *exits) PortIn(port uint16, data []byte)    { e.bus.Load().PortIn(port, data) }
func (e *exits) PortOut(port uint16, data []byte)   { e.bus.Load().PortOut(port, data) }
func (e *exits) MMIORead(addr uint64, data []byte)  { e.bus.Load().MMIORead(addr, data) }
func (e *exits) MMIOWrite(addr uint64, data []byte) { e.bus.Load().MMIOWrite(addr, data) }

// build makes the VM of a plan: memory, chips, devices, vCPUs, in this order
// because KVM wants its chips before a vCPU, and a vCPU thread wants a bus
// before it may run. Nothing runs until Resume. Its memory is new, or that of
// files that another process has made.
func build(sys *kvm.System, p Plan, k Tracking, w wiring, memory []*os.File, ended func(cpu int, e vcpu.Ending)) (_ *instance, err error) {
	i := &instance{}
	defer func() {
		if err != nil {
			i.close()
		}
	}()
	if i.memory, err = newMemory(p, memory); err != nil {
		return nil, err
	}
	if i.vm, err = sys.CreateVM(); err != nil {
		return nil, err
	}
	if err := enoughCPUs(i.vm, p.CPUs); err != nil {
		return nil, err
	}
	if err := i.vm.SetTSSAddr(tssAddr); err != nil {
		return nil, err
	}
	if err := i.vm.SetIdentityMapAddr(identityAddr); err != nil {
		return nil, err
	}
	// First of all: a slot waits for what comes before it in KVM's SRCU, and behind devices that is 5 ms each.
	if i.rings, err = k.attach(i.memory, i.vm, p.CPUs); err != nil {
		return nil, err
	}
	if err := i.vm.CreateIRQChip(); err != nil {
		return nil, err
	}
	if err := i.vm.CreatePIT2(); err != nil {
		return nil, err
	}
	for _, s := range p.Slots {
		w, err := newWires(i.vm, s)
		if err != nil {
			return nil, err
		}
		i.wires = append(i.wires, w)
	}
	if i.board, err = newBoard(p, i.vm, i.memory, w, i.wires, nil); err != nil {
		return nil, err
	}
	i.exits.bus.Store(i.board.bus)
	c := vcpu.Config{System: sys, VM: i.vm, CPUID: p.CPUID, MSRs: p.MSRs, Count: p.CPUs, Exits: &i.exits, Ended: ended}
	if i.rings != nil {
		c.Dirty = i.rings
	}
	if i.cpus, err = vcpu.NewSet(c); err != nil {
		return nil, err
	}
	return i, i.timeSave()
}

// newMemory makes the guest's memory.
func newMemory(p Plan, handed []*os.File) (m *guestmem.Memory, err error) {
	if handed != nil {
		if m, err = guestmem.Adopt(p.Layout, handed); err != nil {
			closeAll(handed)
			return nil, &Failure{Code: "local", Message: fmt.Sprintf("the memory that was handed over cannot be used: %v", err), Remedy: "use the same version of vmm on both sides"}
		}
		return m, nil
	}
	remedy := "use a smaller --memory, or raise the limit on address space (ulimit -v)"
	if p.HugePages {
		m, err = guestmem.NewHuge(p.Layout)
		if errors.Is(err, guestmem.ErrNoHugePages) {
			remedy = NoHugePages(p.Layout.Size())
		}
	} else {
		m, err = guestmem.New(p.Layout)
	}
	if err != nil {
		return nil, &Failure{Code: "no_memory", Message: fmt.Sprintf("guest memory of %d MiB cannot be had: %v", p.Layout.Size()>>20, err), Remedy: remedy}
	}
	return m, nil
}

// NoHugePages is the remedy for a host without huge pages for a guest of so many bytes.
func NoHugePages(memory uint64) string {
	return fmt.Sprintf("reserve %d more huge pages of 2 MiB on that host (sysctl vm.nr_hugepages), or run the guest without --hugepages", memory/HugePageSize)
}

// load puts the guest's boot image into memory and points the first vCPU at it.
func (i *instance) load(p Plan, im *images) error {
	kernel, err := boot.Parse(im.kernel, im.kernelSize)
	if err != nil {
		return &Failure{Code: "kernel", Message: fmt.Sprintf("kernel %s: %v", p.Kernel, err),
			Remedy: "give a 64-bit vmlinux with a PVH entry (CONFIG_PVH=y), or a bzImage"}
	}
	rsdp, err := firmware.Write(i.memory, p.firmware())
	if err != nil {
		return err
	}
	entry, err := kernel.Load(i.memory, boot.Options{Initrd: im.initrd, InitrdSize: im.initrdSize, Cmdline: p.Cmdline, Layout: p.Layout, RSDP: rsdp})
	if err != nil {
		return &Failure{Code: "kernel", Message: fmt.Sprintf("kernel %s: %v", p.Kernel, err), Remedy: "give the guest more --memory"}
	}
	return i.cpus.SetBootState(vcpu.BootState{RIP: entry.RIP, RBX: entry.StartInfo, RSI: entry.ZeroPage, CR3: entry.PageTables, GDT: entry.GDT})
}

// close gives everything back, in the order against building.
func (i *instance) close() error {
	var errs []error
	if i.memory != nil {
		i.memory.Interrupt() // or a device would wait for a missing page for ever
	}
	if i.cpus != nil {
		errs = append(errs, i.cpus.Close())
	}
	if i.board != nil {
		errs = append(errs, i.board.close())
	}
	if i.vm != nil {
		errs = append(errs, i.vm.Close())
	}
	for _, w := range i.wires {
		errs = append(errs, w.close())
	}
	if i.memory != nil {
		errs = append(errs, i.memory.Close())
	}
	return errors.Join(errs...)
}
