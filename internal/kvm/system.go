package kvm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrNotSupported means that this kernel's KVM lacks what was asked for. The caller falls back or reports the host as unfit.
var ErrNotSupported = errors.New("not supported by this host's KVM")

// apiVersion is the only stable version of the KVM API.
const apiVersion = 12

// System is an open /dev/kvm.
type System struct {
	file     *os.File
	mmapSize int // bytes of a vCPU's shared mapping
}

// Open opens /dev/kvm. Its errors say what to do about them.
func Open() (*System, error) {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: load the kvm_intel or kvm_amd module and enable virtualization in the firmware", err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: run as root or join the group that owns /dev/kvm", err)
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return nil, fmt.Errorf("%w: the device node has no driver behind it; load kvm_intel or kvm_amd", err)
	case err != nil:
		return nil, err
	}
	s, err := NewSystem(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

// NewSystem takes over an open /dev/kvm, for a process that may not open it itself. On an error the file stays the caller's.
func NewSystem(f *os.File) (*System, error) {
	s := &System{file: f}
	v, errno := ioctlValue(s.fd(), reqGetAPIVersion, 0)
	if errno != 0 {
		return nil, fmt.Errorf("%s is not a KVM device: %w", f.Name(), errno)
	}
	if v != apiVersion {
		return nil, fmt.Errorf("%s has KVM API version %d, want %d: %w", f.Name(), v, apiVersion, ErrNotSupported)
	}
	size, errno := ioctlValue(s.fd(), reqGetVCPUMmapSize, 0)
	if errno != 0 {
		return nil, check("KVM_GET_VCPU_MMAP_SIZE", errno)
	}
	s.mmapSize = int(size)
	return s, nil
}

func (s *System) fd() int { return int(s.file.Fd()) }

// Close closes the device. VMs made from it live on.
func (s *System) Close() error { return s.file.Close() }

// Probe says whether the kernel has a capability, and with which value.
func (s *System) Probe(c Cap) (Support, int) { return probe(s.fd(), c) }

// CreateVM creates an empty virtual machine.
func (s *System) CreateVM() (*VM, error) {
	// A create may be refused once with EINTR while the kernel waits for its own threads; ioctlValue retries that.
	fd, errno := ioctlValue(s.fd(), reqCreateVM, 0)
	if errno != 0 {
		return nil, check("KVM_CREATE_VM", errno)
	}
	return newVM(s, int(fd)), nil
}

// SupportedCPUID returns the CPUID leaves that this host can give to a guest.
func (s *System) SupportedCPUID() ([]CPUIDEntry, error) {
	for n := 128; n <= maxCPUIDEntries; n *= 2 {
		list := newCPUIDList(n)
		_, errno := ioctl(s.fd(), reqGetSupportedCPUID, unsafe.Pointer(&list[0]))
		switch errno {
		case 0:
			return list.entries(), nil
		case unix.E2BIG:
		default:
			return nil, check("KVM_GET_SUPPORTED_CPUID", errno)
		}
	}
	return nil, fmt.Errorf("KVM_GET_SUPPORTED_CPUID: more than %d entries: %w", maxCPUIDEntries, unix.E2BIG)
}

// MSRIndices returns the model-specific registers that KVM says must be saved to move a guest, in the kernel's order.
func (s *System) MSRIndices() ([]uint32, error) {
	return s.msrList("KVM_GET_MSR_INDEX_LIST", reqGetMSRIndexList)
}

// FeatureMSRIndices returns the model-specific registers by which a CPU says what it can, in the kernel's order.
func (s *System) FeatureMSRIndices() ([]uint32, error) {
	return s.msrList("KVM_GET_MSR_FEATURE_INDEX_LIST", reqGetMSRFeatures)
}

func (s *System) msrList(name string, req uintptr) ([]uint32, error) {
	for n := 512; n <= 1<<16; n *= 2 {
		list := make([]uint32, 1+n) // a count, then the indices
		list[0] = uint32(n)
		_, errno := ioctl(s.fd(), req, unsafe.Pointer(&list[0]))
		switch errno {
		case 0:
			return list[1 : 1+list[0]], nil
		case unix.E2BIG:
		default:
			return nil, check(name, errno)
		}
	}
	return nil, fmt.Errorf("%s: %w", name, unix.E2BIG)
}
