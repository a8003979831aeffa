package uffd

// The ABI of <linux/userfaultfd.h>, as far as it is used; abi_test.go compares.

// Request numbers: of /dev/userfaultfd the first, of a userfaultfd the others.
const (
	reqNew        = 0xaa00
	reqAPI        = 0xc018aa3f
	reqRegister   = 0xc020aa00
	reqUnregister = 0x8010aa01
	reqWake       = 0x8010aa02
	reqZeropage   = 0xc020aa04
	reqContinue   = 0xc020aa07
)

const apiVersion = 0xaa

// Features that the handshake asks for.
const (
	featMissingHugetlb = 1 << 4
	featMissingShmem   = 1 << 5
	featMinorHugetlb   = 1 << 9
	featMinorShmem     = 1 << 10
)

// Modes of a registration: faults on what the file does not have, and on what only the mapping does not have.
const (
	modeMissing = 1 << 0
	modeMinor   = 1 << 2
)

// Bits of registerArg.ioctls: what the kernel can do for a range.
const (
	canContinue = 1 << 7
)

const eventPagefault = 0x12

// apiArg is struct uffdio_api.
type apiArg struct{ api, features, ioctls uint64 }

// rangeArg is struct uffdio_range.
type rangeArg struct{ start, len uint64 }

// registerArg is struct uffdio_register.
type registerArg struct {
	rangeArg
	mode, ioctls uint64
}

// fillArg is struct uffdio_continue and struct uffdio_zeropage.
type fillArg struct {
	rangeArg
	mode uint64
	done int64 // bytes, or a negative error number
}

// message is struct uffd_msg, of a page fault.
type message struct {
	event   uint8
	_       [7]uint8
	flags   uint64
	address uint64
	thread  uint32
	_       uint32
}
