package kvm

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Request numbers, as <linux/kvm.h> computes them for x86-64; abi_test.go compares them with the header.
const (
	reqGetAPIVersion     = 0xae00
	reqCreateVM          = 0xae01
	reqGetMSRIndexList   = 0xc004ae02
	reqCheckExtension    = 0xae03
	reqGetVCPUMmapSize   = 0xae04
	reqGetSupportedCPUID = 0xc008ae05
	reqGetMSRFeatures    = 0xc004ae0a

	reqCreateVCPU            = 0xae41
	reqGetDirtyLog           = 0x4010ae42
	reqSetUserMemoryRegion   = 0x4020ae46
	reqSetTSSAddr            = 0xae47
	reqSetIdentityMapAddr    = 0x4008ae48
	reqCreateIRQChip         = 0xae60
	reqIRQLine               = 0x4008ae61
	reqGetIRQChip            = 0xc208ae62
	reqSetIRQChip            = 0x8208ae63
	reqRegisterCoalescedMMIO = 0x4010ae67
	reqUnregisterCoalescedIO = 0x4010ae68
	reqSetGSIRouting         = 0x4008ae6a
	reqIRQFD                 = 0x4020ae76
	reqCreatePIT2            = 0x4040ae77
	reqIOEventFD             = 0x4040ae79
	reqSetClock              = 0x4030ae7b
	reqGetClock              = 0x8030ae7c
	reqGetPIT2               = 0x8070ae9f
	reqSetPIT2               = 0x4070aea0
	reqSetTSCKHz             = 0xaea2
	reqGetTSCKHz             = 0xaea3
	reqEnableCap             = 0x4068aea3
	reqClearDirtyLog         = 0xc018aec0
	reqResetDirtyRings       = 0xaec7
	reqRun                   = 0xae80
	reqGetRegs               = 0x8090ae81
	reqSetRegs               = 0x4090ae82
	reqGetSregs              = 0x8138ae83
	reqSetSregs              = 0x4138ae84
	reqGetMSRs               = 0xc008ae88
	reqSetMSRs               = 0x4008ae89
	reqGetLAPIC              = 0x8400ae8e
	reqSetLAPIC              = 0x4400ae8f
	reqSetCPUID2             = 0x4008ae90
	reqGetMPState            = 0x8004ae98
	reqSetMPState            = 0x4004ae99
	reqGetVCPUEvents         = 0x8040ae9f
	reqSetVCPUEvents         = 0x4040aea0
	reqGetDebugRegs          = 0x8080aea1
	reqSetDebugRegs          = 0x4080aea2
	reqGetXsave              = 0x9000aea4
	reqSetXsave              = 0x5000aea5
	reqGetXCRs               = 0x8188aea6
	reqSetXCRs               = 0x4188aea7
	reqKVMClockCtrl          = 0xaead
	reqGetSregs2             = 0x8140aecc
	reqSetSregs2             = 0x4140aecd
	reqGetXsave2             = 0x9000aecf
	reqSetDeviceAttr         = 0x4018aee1
	reqGetDeviceAttr         = 0x4018aee2
	reqHasDeviceAttr         = 0x4018aee3
)

// Errno is unix.Errno's value from one ioctl, kept unwrapped where the caller switches on it.
type Errno = unix.Errno

// ioctl issues one request whose argument is a pointer. It is the only place where a pointer becomes an integer, and,
// with ioctlValue, the only one where EINTR is retried.
func ioctl(fd int, req uintptr, arg unsafe.Pointer) (uintptr, Errno) {
	for {
		// SAFETY: the conversion is in the argument list of an assembly function, so the compiler keeps the object
		// alive and in place for the call (unsafe rule 4).
		r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), req, uintptr(arg))
		if errno != unix.EINTR {
			return r, errno
		}
	}
}

// ioctlValue issues one request whose argument is a number or absent.
func ioctlValue(fd int, req, arg uintptr) (uintptr, Errno) {
	for {
		r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), req, arg)
		if errno != unix.EINTR {
			return r, errno
		}
	}
}

// check wraps a failed request's error number with the request's name, and gives nil for success.
func check(name string, errno Errno) error {
	if errno == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w", name, errno)
}

// bytesAt returns the size bytes at p as a slice.
func bytesAt[T any](p *T) []byte {
	// SAFETY: p points at a T, which is exactly Sizeof(T) bytes long; the slice keeps it alive.
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), unsafe.Sizeof(*p))
}
