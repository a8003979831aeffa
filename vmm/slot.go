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
	"github.com/ferryvmm/ferry/internal/kvm"
)

// wires join a slot to the VM: the events by which the guest kicks its queues,
// and the one that raises its line. They stay when the device is made anew.
type wires struct {
	kicks []*virtio.Kick
	line  *os.File
	fd    int // of line
}

// edge is what is written to an eventfd.
var edge = []byte{1, 0, 0, 0, 0, 0, 0, 0}

// Raise pulses the line.
func (w *wires) Raise() error {
	_, err := unix.Write(w.fd, edge)
	return err
}

// newWires registers the events of a slot with that many queues.
func newWires(vm *kvm.VM, s Slot, queues int) (_ *wires, err error) {
	w := &wires{}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.fd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("event of %v: %w", s.Device, err)
	}
	w.line = os.NewFile(uintptr(w.fd), "line")
	if err := vm.IRQFD(w.fd, s.GSI, -1); err != nil {
		return nil, err
	}
	for i := range queues {
		k, err := virtio.NewKick()
		if err != nil {
			return nil, err
		}
		w.kicks = append(w.kicks, k)
		e := kvm.IOEvent{Addr: s.Base + mmio.NotifyOffset, Len: 4, FD: int32(k.FD()), Datamatch: uint64(i), Flags: kvm.IOEventDatamatch}
		if err := vm.IOEventFD(e); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// close ends the events. Precondition: the VM is closed, or never ran.
func (w *wires) close() error {
	var errs []error
	for _, k := range w.kicks {
		errs = append(errs, k.Close())
	}
	if w.line != nil {
		errs = append(errs, w.line.Close())
	}
	return errors.Join(errs...)
}

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
func newSlot(p Slot, m virtio.Memory, w *wires, b *backends, log *slog.Logger, saved *slotState) (*slot, error) {
	kind := parts[p.Kind]
	var own cbor.RawMessage
	var transport *mmio.State
	if saved != nil {
		if saved.Version != kind.version {
			return nil, fmt.Errorf("state of %v: version %d; this vmm knows %d", p.Device, saved.Version, kind.version)
		}
		own, transport = saved.Device, &saved.Transport
	}
	made, err := kind.make(p, b, own)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", p.Device, err)
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
	return slotState{Transport: s.transport.Save(), Version: parts[s.plan.Kind].version, Device: own}, err
}
