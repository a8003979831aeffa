// Package kvm is the only package that issues KVM ioctls, and holds all the unsafe code that needs.
//
// Three types own file descriptors: [System] (/dev/kvm), [VM] and [VCPU]. Every call goes through one of the functions of
// ioctl.go, which take an unsafe.Pointer and convert it in the argument list of the system call, so a result can never be written
// to a stack that has moved. EINTR is retried there and nowhere else, except for KVM_RUN, where it is the answer to a kick and is
// returned as a value. Counts that the kernel returns (MSRs) are returned to the caller.
//
// The ABI structs are this package's own, with plain exported fields, because they are also what a saved machine consists
// of; their sizes, offsets and request numbers are tested against <linux/kvm.h>.
//
// Methods of a VM may be called from several goroutines. Methods of a VCPU belong to the one thread that runs it, except
// [VCPU.SetImmediateExit]: KVM itself blocks any other caller for as long as the vCPU runs.
package kvm
