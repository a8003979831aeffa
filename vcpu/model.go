package vcpu

import (
	"errors"
	"fmt"

	"github.com/ferryvmm/ferry/internal/kvm"
)

// Model is a guest's CPU: the most that it may see. It is the same for each of its vCPUs, topology aside.
type Model struct {
	CPUID []kvm.CPUIDEntry // what is absent reads as zero
	MSRs  []kvm.MSREntry   // of those by which a CPU says what it can; what is absent is KVM's choice
}

// The CPUs that have names; any other is a file's.
const (
	ModelHost     = "host"     // all that the host has and that can be moved
	ModelBaseline = "baseline" // little enough for every host of the vendor
)

// HostModel returns the CPU that a machine of count vCPUs gets by default: the most that this host can give to a guest that is to move.
func HostModel(sys *kvm.System, count int) (Model, error) {
	entries, err := CPUID(sys, count)
	if err != nil {
		return Model{}, err
	}
	m := Model{CPUID: entries}
	m.MSRs, err = hostMSRs(sys, entries)
	return m, err
}

// Choose returns the CPU of a guest with count vCPUs on this host: ModelHost (or ""), ModelBaseline, or with any other name the one that
// file, the content of the file of that name, describes. The errors are ErrModel for the file, and a [MissingError] if this host cannot
// offer all of it.
func (host Model) Choose(name string, file []byte, count int) (Model, error) {
	if count < 1 || count > MaxCount {
		return Model{}, fmt.Errorf("vcpu: %d vCPUs, want 1 to %d", count, MaxCount)
	}
	m := host
	switch name {
	case "", ModelHost:
	case ModelBaseline:
		m = host.Baseline()
	default:
		var err error
		if m, err = DecodeModel(file); err != nil {
			return Model{}, err
		}
		if err := host.Check(m); err != nil {
			return Model{}, err
		}
	}
	m.CPUID = tidy(perCPU(m.CPUID, 0, count))
	return m, nil
}

// Check says whether a host whose own CPU this is can run a guest with the CPU wanted. The error is a [MissingError] that names what it
// cannot offer.
func (host Model) Check(wanted Model) error {
	var missing MissingError
	err := CheckCPUID(host.CPUID, wanted.CPUID)
	if err != nil && !errors.As(err, new(*MissingError)) {
		return err
	}
	if m, ok := errors.AsType[*MissingError](err); ok {
		missing.Features = m.Features
	}
	missing.Features = append(missing.Features, missingMSRs(host.MSRs, wanted.MSRs)...)
	if missing.Features == nil {
		return nil
	}
	return &missing
}

// PhysicalBits is how many bits a guest-physical address has for this CPU: RAM beyond them cannot be used.
func (m Model) PhysicalBits() int {
	const undescribed = 36
	if bits := find(m.CPUID, 0x80000008, 0).EAX & addressBits; bits != 0 {
		return int(bits)
	}
	return undescribed
}
