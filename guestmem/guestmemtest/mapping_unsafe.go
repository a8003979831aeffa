package guestmemtest

import "unsafe"

func memoryAt(hva uintptr, size uint64) []byte {
	// SAFETY: hva is the address of a mapping of size bytes that guestmem holds until Memory.Close, and that the collector
	// does not know. Reading the variable as a pointer is what vet accepts for such an address.
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&hva)), size)
}
