package api

// DirtyRateRequest asks how much of its memory the guest writes.
type DirtyRateRequest struct {
	DurationMS float64 `json:"duration_ms"` // over which it is measured; up to a minute
	// Yield has a move, a snapshot or a balloon end the measurement instead of being refused.
	Yield bool `json:"yield,omitempty"`
}

// DirtyRate is how much of its memory a guest has written in a time. A page that it wrote more than once counts once.
type DirtyRate struct {
	Name       string         `json:"name"`
	DurationMS float64        `json:"duration_ms"` // as measured
	DirtyPages uint64         `json:"dirty_pages"` // of 4 KiB; those that devices wrote are among them
	DirtyMiBS  float64        `json:"dirty_mib_s"` // DirtyPages in that time, in MiB/s
	VCPUs      []CPUDirtyRate `json:"vcpus,omitempty"`
}

// CPUDirtyRate is what one vCPU was the first to write. It is known with dirty rings only.
type CPUDirtyRate struct {
	CPU   int     `json:"cpu"`
	Pages uint64  `json:"pages"`
	MiBS  float64 `json:"mib_s"`
}
