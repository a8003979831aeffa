package net

// Stats are counts since the device was made, over all queues.
type Stats struct {
	RxPackets, RxBytes uint64 // that the driver got; bytes without headers
	RxDrops            uint64 // too long for the driver's buffers
	RxRefused          uint64 // by the inspector
	TxPackets, TxBytes uint64 // that the tap took
	TxDrops            uint64 // malformed, or not wanted by the tap
	TxRefused          uint64 // by the inspector
}

// Stats counts. What the tap itself drops is in the statistics of its link.
func (d *Device) Stats() (s Stats) {
	for _, p := range d.pairs {
		s.RxPackets += p.rx.packets.Load()
		s.RxBytes += p.rx.bytes.Load()
		s.RxDrops += p.rx.drops.Load()
		s.RxRefused += p.rx.refused.Load()
		s.TxPackets += p.tx.packets.Load()
		s.TxBytes += p.tx.bytes.Load()
		s.TxDrops += p.tx.drops.Load()
		s.TxRefused += p.tx.refused.Load()
	}
	return s
}
