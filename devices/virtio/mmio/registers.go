package mmio

// Registers, VIRTIO 1.2 section 4.2.2: 32 bits wide, but for the configuration space.
const (
	regMagic             = 0x000
	regVersion           = 0x004
	regDeviceID          = 0x008
	regVendorID          = 0x00c
	regDeviceFeatures    = 0x010
	regDeviceFeaturesSel = 0x014
	regDriverFeatures    = 0x020
	regDriverFeaturesSel = 0x024
	regQueueSel          = 0x030
	regQueueSizeMax      = 0x034
	regQueueSize         = 0x038
	regQueueReady        = 0x044
	regQueueNotify       = NotifyOffset
	regInterruptStatus   = 0x060
	regInterruptACK      = 0x064
	regStatus            = 0x070
	regQueueDescLow      = 0x080
	regQueueDescHigh     = 0x084
	regQueueDriverLow    = 0x090
	regQueueDriverHigh   = 0x094
	regQueueDeviceLow    = 0x0a0
	regQueueDeviceHigh   = 0x0a4
	regSHMLenLow         = 0x0b0
	regSHMLenHigh        = 0x0b4
	regSHMBaseLow        = 0x0b8
	regSHMBaseHigh       = 0x0bc
	regConfigGeneration  = 0x0fc
	regConfig            = 0x100
)

// What registers that do not change hold.
const (
	magic   = 0x74726976 // "virt"
	version = 2
	vendor  = 0x59525246 // "FRRY"
	noSHM   = 1<<32 - 1  // of both halves of length and base: there is no such region
)

// Bits of the status register, section 2.1.
const (
	statusAcknowledge = 1
	statusDriver      = 2
	statusDriverOK    = 4
	statusFeaturesOK  = 8
	statusNeedsReset  = 64
	statusFailed      = 128

	// statusDriverBits are those that the driver may set.
	statusDriverBits = statusAcknowledge | statusDriver | statusDriverOK | statusFeaturesOK | statusFailed
)

// Bits of the interrupt status register.
const (
	interruptUsed   = 1
	interruptConfig = 2
)
