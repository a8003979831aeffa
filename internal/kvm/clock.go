package kvm

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PITChannel is struct kvm_pit_channel_state. CountLoadTime is in the host's CLOCK_MONOTONIC nanoseconds, so it means nothing
// on another host until it is rebased.
type PITChannel struct {
	Count                                                      uint32
	LatchedCount                                               uint16
	CountLatched, StatusLatched, Status, ReadState, WriteState uint8
	WriteLatch, RWMode, Mode, BCD, Gate                        uint8
	CountLoadTime                                              int64
}

// PIT is struct kvm_pit_state2.
type PIT struct {
	Channels [3]PITChannel
	Flags    uint32
	Reserved [9]uint32
}

// Flags of [PIT] and of [VM.CreatePIT2].
const (
	PITSpeakerDummy uint32 = 1 << 0 // CreatePIT2: handle port 0x61 in the kernel
	PITHPETLegacy   uint32 = 1 << 0 // PIT
	PITSpeakerOn    uint32 = 1 << 1 // PIT
)

// pitConfig is struct kvm_pit_config.
type pitConfig struct {
	Flags uint32
	Pad   [15]uint32
}

// CreatePIT2 creates the in-kernel i8254, with port 0x61. It must come after CreateIRQChip.
func (v *VM) CreatePIT2() error {
	p := pitConfig{Flags: PITSpeakerDummy}
	_, errno := ioctl(v.fd, reqCreatePIT2, unsafe.Pointer(&p))
	return check("KVM_CREATE_PIT2", errno)
}

// PIT2 reads the timer.
func (v *VM) PIT2(p *PIT) error {
	_, errno := ioctl(v.fd, reqGetPIT2, unsafe.Pointer(p))
	return check("KVM_GET_PIT2", errno)
}

// SetPIT2 sets the timer; a periodic channel 0 starts to count again at once.
func (v *VM) SetPIT2(p *PIT) error {
	_, errno := ioctl(v.fd, reqSetPIT2, unsafe.Pointer(p))
	return check("KVM_SET_PIT2", errno)
}

// Flags of [Clock].
const (
	ClockTSCStable uint32 = 1 << 1 // reading: all vCPUs share one TSC-based clock
	ClockRealtime  uint32 = 1 << 2 // Realtime is valid; setting: advance by the real time since then
	ClockHostTSC   uint32 = 1 << 3 // HostTSC is valid
)

// Clock is struct kvm_clock_data: the guest's kvmclock in nanoseconds, and the host's CLOCK_REALTIME (nanoseconds) and TSC of the
// same instant where the flags say so.
type Clock struct {
	Clock      uint64
	Flags, Pad uint32
	Realtime   uint64
	HostTSC    uint64
	Reserved   [4]uint32
}

// Clock reads the guest's clock.
func (v *VM) Clock(c *Clock) error {
	_, errno := ioctl(v.fd, reqGetClock, unsafe.Pointer(c))
	return check("KVM_GET_CLOCK", errno)
}

// SetClock sets the guest's clock. Of the flags only ClockRealtime is taken, and only where CapAdjustClock's value has it.
func (v *VM) SetClock(c *Clock) error {
	_, errno := ioctl(v.fd, reqSetClock, unsafe.Pointer(c))
	return check("KVM_SET_CLOCK", errno)
}

// TSCKHz returns the frequency that the VM gives new vCPUs, in kHz; ErrNotSupported where only vCPUs have one.
func (v *VM) TSCKHz() (uint32, error) {
	r, errno := ioctlValue(v.fd, reqGetTSCKHz, 0)
	switch errno {
	case unix.ENOTTY, unix.EINVAL:
		return 0, fmt.Errorf("KVM_GET_TSC_KHZ on a VM: %w (%w)", ErrNotSupported, errno)
	}
	return uint32(r), check("KVM_GET_TSC_KHZ", errno)
}
