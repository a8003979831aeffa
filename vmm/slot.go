package vmm

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/fxamacker/cbor/v2"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/mmio"
	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/internal/kvm"
)

// wires join a slot to the VM: the event that raises its line, and those by which
// the guest kicks its queues. They stay when the device is made anew.
type wires struct {
	vm    *kvm.VM
	plan  Slot
	line  *os.File
	fd    int // of line
	kicks []*virtio.Kick
}

// edge is what is written to an eventfd.
var edge = []byte{1, 0, 0, 0, 0, 0, 0, 0}

// Raise pulses the line.
func (w *wires) Raise() error {
	_, err := unix.Write(w.fd, edge)
	return err
}

// newWires registers the event of a slot's line.
func newWires(vm *kvm.VM, s Slot) (*wires, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("event of %v: %w", s.Device, err)
	}
	w := &wires{vm: vm, plan: s, fd: fd, line: os.NewFile(uintptr(fd), "line")}
	if err := vm.IRQFD(fd, s.GSI, -1); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

// connect registers an event for each queue of the device, the first time.
func (w *wires) connect(queues int) (err error) {
	if w.kicks != nil {
		return nil
	}
	if w.kicks, err = virtio.NewKicks(queues); err != nil {
		return err
	}
	for i, k := range w.kicks {
		e := kvm.IOEvent{Addr: w.plan.Base + mmio.NotifyOffset, Len: 4, FD: int32(k.FD()), Datamatch: uint64(i), Flags: kvm.IOEventDatamatch}
		if err := w.vm.IOEventFD(e); err != nil {
			return err
		}
	}
	return nil
}

// close ends the events. Precondition: the VM is closed, or never ran.
func (w *wires) close() error { return errors.Join(virtio.CloseKicks(w.kicks), w.line.Close()) }

// slot is a virtio device at work.
type slot struct {
	plan      Slot
	transport *mmio.Transport
	part      part
}

// slotState is the saved state of a slot: its transport's, and its device's own.
type slotState struct {
	Transport mmio.State
	Version   uint16 // of Device
	Device    cbor.RawMessage
}

// section is the id of the slot's state.
func (s Slot) section() string { return "virtio/" + s.Kind + "/" + s.ID }

// newSlot makes the device of a slot, fresh or in a saved state, at rest.
func newSlot(p Slot, m *guestmem.Memory, w *wires, b *backends, log *slog.Logger, saved *slotState) (*slot, error) {
	kind := makers[p.Kind]
	var own cbor.RawMessage
	var transport *mmio.State
	if saved != nil {
		if saved.Version != kind.version {
			return nil, fmt.Errorf("state of %v: version %d; this vmm knows %d", p.Device, saved.Version, kind.version)
		}
		own, transport = saved.Device, &saved.Transport
	}
	made, err := kind.make(p, m, b, own)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", p.Device, err)
	}
	if err := w.connect(len(made.device.QueueSizes())); err != nil {
		return nil, errors.Join(err, made.device.Close())
	}
	t, err := mmio.New(mmio.Config{
		Device: made.device, Memory: m, Interrupt: w, Kicks: w.kicks, Log: log.With("device", p.Device.String()),
	}, transport)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%v: %w", p.Device, err), made.device.Close())
	}
	return &slot{plan: p, transport: t, part: made}, nil
}

// save returns the slot's state. Precondition: it is at rest.
func (s *slot) save() (slotState, error) {
	own, err := cbor.Marshal(s.part.save())
	return slotState{Transport: s.transport.Save(), Version: makers[s.plan.Kind].version, Device: own}, err
}
