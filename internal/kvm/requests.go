package kvm

// Requests are the numbers of all requests that this package issues, for a filter of system calls: the most frequent first.
func Requests() []uint32 {
	return []uint32{
		reqRun, reqIRQLine, reqGetDirtyLog, reqClearDirtyLog, reqResetDirtyRings,
		reqGetAPIVersion, reqCreateVM, reqGetMSRIndexList, reqCheckExtension, reqGetVCPUMmapSize, reqGetSupportedCPUID, reqGetMSRFeatures,
		reqCreateVCPU, reqSetUserMemoryRegion, reqSetTSSAddr, reqSetIdentityMapAddr, reqCreateIRQChip, reqGetIRQChip, reqSetIRQChip,
		reqRegisterCoalescedMMIO, reqUnregisterCoalescedIO, reqSetGSIRouting, reqIRQFD, reqCreatePIT2, reqIOEventFD, reqSetClock, reqGetClock,
		reqGetPIT2, reqSetPIT2, reqSetTSCKHz, reqGetTSCKHz, reqEnableCap,
		reqGetRegs, reqSetRegs, reqGetSregs, reqSetSregs, reqGetMSRs, reqSetMSRs, reqGetLAPIC, reqSetLAPIC, reqSetCPUID2, reqGetMPState, reqSetMPState,
		reqGetVCPUEvents, reqSetVCPUEvents, reqGetDebugRegs, reqSetDebugRegs, reqGetXsave, reqSetXsave, reqGetXCRs, reqSetXCRs, reqKVMClockCtrl,
		reqGetSregs2, reqSetSregs2, reqGetXsave2, reqSetDeviceAttr, reqGetDeviceAttr, reqHasDeviceAttr,
	}
}
