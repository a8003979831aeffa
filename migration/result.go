package migration

import "time"

// Outcome is how a move ended.
type Outcome string

const (
	// OutcomeCompleted: the guest runs at the target. (Save: the copy is complete.)
	OutcomeCompleted Outcome = "completed"
	// OutcomeFailed: the guest is at the source, as before the move.
	OutcomeFailed Outcome = "failed"
	// OutcomeCancelled is OutcomeFailed because somebody asked for it, or for lack of time.
	OutcomeCancelled Outcome = "cancelled"
	// OutcomeInDoubt: the commit left, and nobody knows whether it arrived. The guest
	// at the source stays paused.
	OutcomeInDoubt Outcome = "in_doubt"
	// OutcomeLost: the target owns the guest and could not start it, or was killed, or died before it had all of its memory.
	OutcomeLost Outcome = "lost"
)

// Phase of a move, for people.
type Phase string

const (
	PhaseReserve Phase = "reserve"
	PhasePush    Phase = "push"
	PhaseStop    Phase = "stop"
	PhaseWait    Phase = "wait" // the guest is paused until somebody continues the move
	PhaseCommit  Phase = "commit"
	PhaseInDoubt Phase = "in_doubt"
	PhaseRelease Phase = "release"
	PhasePull    Phase = "pull"   // the guest runs at the target, which fetches the rest
	PhaseServe   Phase = "serve"  // likewise, and fetches only what the guest needs
	PhaseRejoin  Phase = "rejoin" // likewise, but the link is lost
)

// Progress is one report of a move under way.
type Progress struct {
	Phase              Phase   `json:"phase"`
	Round              int     `json:"round"` // from 0, the first pass over all data
	SentBytes          uint64  `json:"sent_bytes"`
	RemainingBytes     uint64  `json:"remaining_bytes"` // still to be sent, as known now
	DirtyBitsPerS      float64 `json:"dirty_bits_per_s"`
	BandwidthBitsPerS  float64 `json:"bandwidth_bits_per_s"`
	ForecastDowntimeMS float64 `json:"forecast_downtime_ms"` // if the guest were stopped now; 0 while not known
	ElapsedMS          float64 `json:"elapsed_ms"`
	// ThrottlePercent is how much of the time vCPUs stand still, lest they write faster than the link takes.
	ThrottlePercent int `json:"throttle_percent"`
	// Undecided: the move has been in doubt for 10 s. Who waits for it should
	// wait no longer; the asking goes on.
	Undecided bool `json:"undecided,omitempty"`
	// Serving, in PhaseServe, is how the move went: who asked for it need not wait for
	// the memory.
	Serving *Result `json:"serving,omitempty"`
}

// Result says how a move went. Fields that do not concern the side that
// reports are zero.
type Result struct {
	Outcome       Outcome  `json:"outcome"`
	Reason        string   `json:"reason"` // empty when completed
	ModeRequested string   `json:"mode_requested"`
	Mode          string   `json:"mode"`
	TargetName    string   `json:"target_name"` // empty unless completed
	MemoryBytes   uint64   `json:"memory_bytes"`
	ResidentBytes uint64   `json:"resident_bytes"`
	SentBytes     uint64   `json:"sent_bytes"` // written to connections, or to the stream
	PageBytes     uint64   `json:"page_bytes"` // page payload of them
	Rounds        []Round  `json:"rounds"`     // the first and the latest where there were many
	TotalMS       float64  `json:"total_ms"`
	DowntimeMS    float64  `json:"downtime_ms"`
	Downtime      Downtime `json:"downtime"`

	Phases   Phases    `json:"phases"`
	Pages    Pages     `json:"pages"`
	Forecast Forecast  `json:"forecast"`
	Throttle Throttled `json:"throttle"`
	// PulledPages came after the guest had started, UrgentPages of them because it waited.
	PulledPages uint64 `json:"pulled_pages"`
	UrgentPages uint64 `json:"urgent_pages"`
	Faults      Faults `json:"faults"`
	Rejoins     int    `json:"rejoins"` // links lost and made anew in pull

	Network  Forwarded  `json:"network"`
	Compress Compressed `json:"compress"`
	// TLS is the cipher suite that all connections were under; empty: none were.
	TLS string `json:"tls,omitempty"`
	// Channels are the connections that carried pages, bulk first; none of a copy to a file.
	Channels []Channel `json:"channels"`
	// Path is how their pages left while the guest ran; PathReason is why they were copied, if that is not as it should be.
	Path       DataPath `json:"path"`
	PathReason string   `json:"path_reason"`
}

// Channel is what one connection carried.
type Channel struct {
	SentBytes       uint64 `json:"sent_bytes"`       // pages, and all that is written with them
	RegisteredBytes uint64 `json:"registered_bytes"` // of them: from where they are, by zero-copy sends
	ZeroCopyBytes   uint64 `json:"zero_copy_bytes"`  // of these: the kernel says that it has not copied them either
}

// Forwarded counts packets that came for the guest at its source, from its pause on, and could not be given to it there.
type Forwarded struct {
	Frames  uint64 `json:"frames_forwarded"` // sent to the target
	Dropped uint64 `json:"frames_dropped"`   // lost: they found the buffers of one side full, or no link
	// Late is how many of Frames came to the target when it had let those of its host through already: these
	// alone may have been overtaken.
	Late uint64 `json:"frames_late"`
}

// Phases are the times of a move's parts. Those that it did not have are 0.
type Phases struct {
	ReserveMS float64 `json:"reserve_ms"` // from the request until the target was built and rehearsed
	PushMS    float64 `json:"push_ms"`    // memory was sent while the guest ran
	StopMS    float64 `json:"stop_ms"`    // the downtime, and where the move waited for a person, that
	PullMS    float64 `json:"pull_ms"`    // memory was sent while the guest ran at the target
}

// Pages counts what was sent, by kind, in pages.
type Pages struct {
	Data uint64 `json:"data"`
	Zero uint64 `json:"zero"`
	Hole uint64 `json:"hole"` // that was data before
	// Duplicate is how many of Data and Zero were sent for a second time or more,
	// because the guest had written them again.
	Duplicate uint64 `json:"duplicate"`
}

// Forecast is what the source expected when it decided to stop the guest, beside what came of it.
type Forecast struct {
	DowntimeMS        float64 `json:"downtime_ms"` // 0: there was nothing to go by; or pages were left to be pulled
	BandwidthBitsPerS float64 `json:"bandwidth_bits_per_s"`
}

// Round is one pass over dirty memory.
type Round struct {
	Pages        uint64  `json:"pages"` // data and zero pages, and holes
	Bytes        uint64  `json:"bytes"` // page payload
	MS           float64 `json:"ms"`
	DirtiedPages uint64  `json:"dirtied_pages"` // found dirty at the end of the round
	// The rates at which it was sent, and at which the guest wrote meanwhile.
	SentBitsPerS  float64 `json:"sent_bits_per_s"`
	DirtyBitsPerS float64 `json:"dirty_bits_per_s"`
}

// Downtime splits the downtime into its parts, which add up to it.
type Downtime struct {
	PauseMS  float64 `json:"pause_ms"`  // kick to all vCPUs stopped and devices quiet, and the wait to be continued
	PagesMS  float64 `json:"pages_ms"`  // finding, sending and placing the last pages
	StateMS  float64 `json:"state_ms"`  // saving and restoring the state
	CommitMS float64 `json:"commit_ms"` // commit and the durable record
	ResumeMS float64 `json:"resume_ms"` // first KVM_RUN to receipt of running
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
