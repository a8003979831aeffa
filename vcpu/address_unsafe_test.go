package vcpu

import "unsafe"

// address is where a mapping lies.
func address(mem []byte) uintptr {
	// SAFETY: mem is an mmapped range, which does not move; only the kernel uses the number.
	return uintptr(unsafe.Pointer(&mem[0]))
}
