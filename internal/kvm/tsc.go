package kvm

import (
	"fmt"
	"unsafe"
)

// deviceAttr is struct kvm_device_attr.
type deviceAttr struct {
	Flags, Group uint32
	Attr         uint64
	Addr         unsafe.Pointer
}

// The vCPU attribute that holds the TSC offset.
const (
	attrGroupTSC  = 0 // KVM_VCPU_TSC_CTRL
	attrTSCOffset = 0 // KVM_VCPU_TSC_OFFSET
)

// HasTSCOffset says whether the vCPU's TSC offset can be read and set (Linux 5.16).
func (c *VCPU) HasTSCOffset() bool {
	a := deviceAttr{Group: attrGroupTSC, Attr: attrTSCOffset}
	// SAFETY: the kernel reads a, which has the layout of struct kvm_device_attr.
	_, errno := ioctl(c.fd, reqHasDeviceAttr, unsafe.Pointer(&a))
	return errno == 0
}

// TSCOffset reads what the vCPU's TSC is ahead of the host's, in guest ticks.
func (c *VCPU) TSCOffset() (uint64, error) {
	var offset uint64
	// SAFETY: Addr is a pointer, so offset is alive and stays where it is during the call, which writes its 8 bytes.
	a := deviceAttr{Group: attrGroupTSC, Attr: attrTSCOffset, Addr: unsafe.Pointer(&offset)}
	_, errno := ioctl(c.fd, reqGetDeviceAttr, unsafe.Pointer(&a))
	return offset, check("KVM_GET_DEVICE_ATTR KVM_VCPU_TSC_OFFSET", errno)
}

// SetTSCOffset sets what the vCPU's TSC is ahead of the host's. Some hosts take it and ignore it: read the TSC to know.
func (c *VCPU) SetTSCOffset(offset uint64) error {
	// SAFETY: as in TSCOffset; the call reads the 8 bytes.
	a := deviceAttr{Group: attrGroupTSC, Attr: attrTSCOffset, Addr: unsafe.Pointer(&offset)}
	_, errno := ioctl(c.fd, reqSetDeviceAttr, unsafe.Pointer(&a))
	return check("KVM_SET_DEVICE_ATTR KVM_VCPU_TSC_OFFSET", errno)
}

// TSCKHz returns the vCPU's TSC frequency in kHz.
func (c *VCPU) TSCKHz() (uint32, error) {
	r, errno := ioctlValue(c.fd, reqGetTSCKHz, 0)
	return uint32(r), check("KVM_GET_TSC_KHZ", errno)
}

// SetTSCKHz asks for a TSC frequency in kHz. Without CapTSCControl it may fail, or succeed and change only what TSCKHz says.
func (c *VCPU) SetTSCKHz(khz uint32) error {
	_, errno := ioctlValue(c.fd, reqSetTSCKHz, uintptr(khz))
	if errno != 0 {
		return fmt.Errorf("KVM_SET_TSC_KHZ %d: %w", khz, errno)
	}
	return nil
}
