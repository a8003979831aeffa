package blk

// Version is that of State.
const Version = 1

// State is what a disk is saved as, beside its queues. What is in the image is
// not part of it.
type State struct {
	// Writeback: the driver has not asked for writethrough.
	Writeback bool
}

// Save returns the state. Precondition: the device is at rest.
func (d *Device) Save() State { return State{Writeback: d.writeback.Load()} }
