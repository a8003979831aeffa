package uffd

// Requests are the numbers of all requests that this package issues, for a filter of system calls.
func Requests() []uint32 {
	return []uint32{reqContinue, reqWake, reqNew, reqAPI, reqRegister, reqUnregister, reqZeropage}
}
