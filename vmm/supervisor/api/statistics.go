package api

// Statistics are what a guest did since it runs in this process: counts that only grow, and sizes as they are now. They are
// cheap to ask for, once a second for instance.
type Statistics struct {
	Name          string           `json:"name"`
	State         State            `json:"state"`
	UptimeMS      float64          `json:"uptime_ms"`
	ProcessMS     float64          `json:"process_ms"` // CPU time of the machine process, its vCPUs included
	MemoryBytes   uint64           `json:"memory_bytes"`
	ResidentBytes uint64           `json:"resident_bytes"`
	MissingBytes  uint64           `json:"missing_bytes"` // of its memory, still at its source
	Moves         int              `json:"moves"`
	VCPUs         []VCPUStatistics `json:"vcpus"`
	Devices       []Device         `json:"devices"`
}

// VCPUStatistics count why one vCPU came back from the guest to this program. What KVM handles by itself is not among it.
type VCPUStatistics struct {
	CPU         int     `json:"cpu"`
	IOExits     uint64  `json:"io_exits"`     // access to a port
	MMIOExits   uint64  `json:"mmio_exits"`   // access to a device's memory
	RingExits   uint64  `json:"ring_exits"`   // the dirty ring was full
	Interrupts  uint64  `json:"interrupts"`   // a signal: a kick, for a pause or a throttle, or the kernel's own
	ThrottledMS float64 `json:"throttled_ms"` // time that it stood still so that a move gets on
}

// Exits are all of them.
func (v VCPUStatistics) Exits() uint64 { return v.IOExits + v.MMIOExits + v.RingExits + v.Interrupts }
