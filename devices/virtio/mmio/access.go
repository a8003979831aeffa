package mmio

import "encoding/binary"

// Read implements devices.Handler. Registers are read as aligned 32 bits: all
// else is zero.
func (t *Transport) Read(offset uint64, data []byte) {
	switch {
	case offset >= regConfig:
		t.dev.ReadConfig(offset-regConfig, data)
	case len(data) == 4 && offset%4 == 0:
		binary.LittleEndian.PutUint32(data, t.read(offset))
	default:
		clear(data)
	}
}

// Write implements devices.Handler. Registers are written as aligned 32 bits:
// all else is ignored.
func (t *Transport) Write(offset uint64, data []byte) {
	switch {
	case offset >= regConfig:
		t.dev.WriteConfig(offset-regConfig, data)
	case len(data) == 4 && offset%4 == 0:
		t.write(offset, binary.LittleEndian.Uint32(data))
	}
}

func (t *Transport) read(reg uint64) uint32 {
	switch reg {
	case regMagic:
		return magic
	case regVersion:
		return version
	case regDeviceID:
		return t.dev.ID()
	case regVendorID:
		return vendor
	case regInterruptStatus:
		return t.isr.Load()
	case regStatus:
		return uint32(t.status.Load())
	case regConfigGeneration:
		return t.generation.Load()
	case regSHMLenLow, regSHMLenHigh, regSHMBaseLow, regSHMBaseHigh:
		return noSHM
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch reg {
	case regDeviceFeatures:
		if sel := t.setup.deviceFeaturesSel; sel < 2 {
			return uint32(t.offered >> (32 * sel))
		}
	case regQueueSizeMax:
		if sel := t.setup.queueSel; sel < uint32(len(t.sizes)) {
			return uint32(t.sizes[sel])
		}
	case regQueueReady:
		if sel := t.setup.queueSel; sel < uint32(len(t.sizes)) && t.setup.queues[sel].Ready {
			return 1
		}
	}
	return 0
}

func (t *Transport) write(reg uint64, v uint32) {
	switch reg {
	case regQueueNotify: // what no ioeventfd took
		if v < uint32(len(t.kicks)) {
			t.kicks[v].Wake()
		}
		return
	case regInterruptACK:
		t.isr.And(^v)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch reg {
	case regStatus:
		t.writeStatus(v)
	case regDeviceFeaturesSel:
		t.setup.deviceFeaturesSel = v
	case regDriverFeaturesSel:
		t.setup.driverFeaturesSel = v
	case regDriverFeatures:
		t.writeFeatures(v)
	case regQueueSel:
		t.setup.queueSel = v
	default:
		t.writeQueue(reg, v)
	}
}

// writeFeatures takes half of the features, until they are settled.
// Precondition: mu is held.
func (t *Transport) writeFeatures(v uint32) {
	sel := t.setup.driverFeaturesSel
	if sel > 1 || t.status.Load()&statusFeaturesOK != 0 {
		return
	}
	shift := 32 * sel
	t.setup.features = t.setup.features&^(0xffffffff<<shift) | uint64(v)<<shift
}

// writeQueue configures the selected queue. That is for when features are
// settled and the device does not run; a queue that is ready must be taken back
// first. Precondition: mu is held.
func (t *Transport) writeQueue(reg uint64, v uint32) {
	const settled, done = statusFeaturesOK, statusDriverOK | statusFailed | statusNeedsReset
	sel := t.setup.queueSel
	if sel >= uint32(len(t.sizes)) || t.status.Load()&(settled|done) != settled {
		return
	}
	q := &t.setup.queues[sel]
	if reg == regQueueReady {
		q.Ready = v&1 != 0
		return
	}
	if q.Ready {
		return
	}
	switch reg {
	case regQueueSize:
		q.Size = 0 // does not work
		if v <= uint32(t.sizes[sel]) && v&(v-1) == 0 {
			q.Size = uint16(v)
		}
	case regQueueDescLow, regQueueDescHigh:
		putHalf(&q.Desc, reg == regQueueDescHigh, v)
	case regQueueDriverLow, regQueueDriverHigh:
		putHalf(&q.Avail, reg == regQueueDriverHigh, v)
	case regQueueDeviceLow, regQueueDeviceHigh:
		putHalf(&q.Use, reg == regQueueDeviceHigh, v)
	}
}

// putHalf writes half of an address.
func putHalf(address *uint64, high bool, v uint32) {
	if high {
		*address = *address&0xffffffff | uint64(v)<<32
	} else {
		*address = *address&^0xffffffff | uint64(v)
	}
}
