package api

import "time"

// The migration modes that are built.
const (
	ModePrecopy  = "precopy"
	ModeStopcopy = "stopcopy"
	ModePostcopy = "postcopy"
	ModeHybrid   = "hybrid"
	ModeAuto     = "auto"
	ModeRemote   = "remote"
	ModeLocal    = "local" // what was done where the target is a unix socket, whatever was asked for
)

// Modes are those that can be asked for.
var Modes = []string{ModeAuto, ModePrecopy, ModePostcopy, ModeHybrid, ModeStopcopy, ModeRemote}

// The ways to make pages smaller before they are sent.
const (
	CompressAuto  = "auto"
	CompressOff   = "off"
	CompressS2    = "s2"
	CompressZstd  = "zstd"
	CompressDelta = "delta"
)

// Compressions are those that can be asked for.
var Compressions = []string{CompressAuto, CompressOff, CompressS2, CompressZstd, CompressDelta}

// MigrateRequest asks a machine to move its guest. The move goes on when the requester goes away: only a cancel, its
// timeout, or a failure ends it.
type MigrateRequest struct {
	Target          string  `json:"target"` // tcp:HOST:PORT or unix:PATH
	Mode            string  `json:"mode"`   // one of Modes
	DowntimeLimitMS float64 `json:"downtime_limit_ms"`
	TimeoutMS       float64 `json:"timeout_ms"` // 0: none
	// BandwidthBitsPerS limits the sending of memory while the guest runs. 0: no limit.
	BandwidthBitsPerS uint64 `json:"bandwidth_bits_per_s,omitempty"`
	// Channels is how many connections carry memory side by side, 1 to 16. 0: as many as are seen to be of use.
	Channels int `json:"channels,omitempty"`
	// Compress is one of Compressions; empty: auto.
	Compress string `json:"compress,omitempty"`
	// ThrottlePercent is how much of its time the guest may stand still, so that it writes no faster than the link takes, 0 to 99. 0: never.
	ThrottlePercent int `json:"throttle_percent,omitempty"`
	// TLS is the folder, absolute, with this host's certificate, its key and the authority's certificate. Empty: nothing is encrypted, and
	// Insecure is needed when the target is not a loopback address.
	TLS      string `json:"tls,omitempty"`
	Insecure bool   `json:"insecure"`
	// PauseBeforeSwitchover has the move wait, with the guest paused, until ContinueMigrate.
	PauseBeforeSwitchover bool `json:"pause_before_switchover,omitempty"`
}

// SnapshotRequest asks a machine to write its guest to a directory.
type SnapshotRequest struct {
	Dir string `json:"dir"` // absolute; must not exist yet, or be empty
}

// Outcome is how a move ended.
type Outcome string

// The outcomes of a move.
const (
	OutcomeCompleted Outcome = "completed"
	OutcomeFailed    Outcome = "failed"    // the guest runs at the source
	OutcomeCancelled Outcome = "cancelled" // the guest runs at the source
	OutcomeInDoubt   Outcome = "in_doubt"
	OutcomeLost      Outcome = "lost"
)

// Outcomes are all of them.
var Outcomes = []Outcome{OutcomeCompleted, OutcomeFailed, OutcomeCancelled, OutcomeInDoubt, OutcomeLost}

// Progress is one report of a move under way.
type Progress struct {
	Phase              string  `json:"phase"` // reserve, push, stop, wait, commit, in_doubt, release
	Round              int     `json:"round"` // from 0, the first pass over all data
	SentBytes          uint64  `json:"sent_bytes"`
	RemainingBytes     uint64  `json:"remaining_bytes"` // data still to be sent, as known now
	DirtyBitsPerS      float64 `json:"dirty_bits_per_s"`
	BandwidthBitsPerS  float64 `json:"bandwidth_bits_per_s"`
	ForecastDowntimeMS float64 `json:"forecast_downtime_ms"` // if the guest were stopped now; 0 while not known
	ElapsedMS          float64 `json:"elapsed_ms"`           // since the request was accepted
	ThrottlePercent    int     `json:"throttle_percent"`     // how much of its time the guest stands still
}

// Result says how a move, or a snapshot, went.
type Result struct {
	Outcome       Outcome  `json:"outcome"`
	Reason        string   `json:"reason"` // one short word or sentence; empty when completed
	ModeRequested string   `json:"mode_requested"`
	Mode          string   `json:"mode"`           // what was done
	TargetName    string   `json:"target_name"`    // the guest's name at the target; empty unless completed
	MemoryBytes   uint64   `json:"memory_bytes"`   // configured
	ResidentBytes uint64   `json:"resident_bytes"` // data in the source's memfds when the move started
	SentBytes     uint64   `json:"sent_bytes"`     // written to migration sockets (snapshot: to files)
	PageBytes     uint64   `json:"page_bytes"`     // page payload of them
	Rounds        []Round  `json:"rounds"`
	TotalMS       float64  `json:"total_ms"`    // request accepted to release, at the source
	DowntimeMS    float64  `json:"downtime_ms"` // first kick to receipt of running, source's clock
	Downtime      Downtime `json:"downtime"`
	PulledPages   uint64   `json:"pulled_pages"` // that came after the guest ran at the target
	UrgentPages   uint64   `json:"urgent_pages"` // of them those that it waited for, or a device
	Faults        Faults   `json:"faults"`
	Rejoins       int      `json:"rejoins"` // links lost and made anew in pull
	Error         *Error   `json:"error,omitempty"`

	Phases   Phases    `json:"phases"`
	Pages    Pages     `json:"pages"`
	Forecast Forecast  `json:"forecast"`
	Throttle Throttled `json:"throttle"`
	Network  Forwarded `json:"network"`
	Channels []Channel `json:"channels,omitempty"` // the connections that carried memory; none of a snapshot
	// Path is how memory left while the guest ran: zero-copy or copy, and then PathReason may say why.
	Path       string `json:"path,omitempty"`
	PathReason string `json:"path_reason,omitempty"`
	// TLS is the cipher suite by which all of it was encrypted; empty: it was not.
	TLS string `json:"tls,omitempty"`

	Compress Compressed `json:"compress"`
}

// Compressed says how pages were made smaller.
type Compressed struct {
	Requested string       `json:"requested"` // one of Compressions; empty of a snapshot
	Reason    string       `json:"reason"`    // why what was done was done, for people
	Codecs    []CodecCount `json:"codecs"`    // those that made pages smaller, and raw for the others
}

// CodecCount is what one codec made of pages.
type CodecCount struct {
	Codec    string `json:"codec"` // words, delta, copy, s2, zstd; raw: as they were
	Pages    uint64 `json:"pages"`
	InBytes  uint64 `json:"in_bytes"`
	OutBytes uint64 `json:"out_bytes"`
}

// Channel is what one connection carried.
type Channel struct {
	SentBytes       uint64 `json:"sent_bytes"`
	RegisteredBytes uint64 `json:"registered_bytes"` // of them: by zero-copy sends
	ZeroCopyBytes   uint64 `json:"zero_copy_bytes"`  // of these: the kernel has not copied them either
}

// Forwarded counts packets that came for the guest at the source from its pause on.
type Forwarded struct {
	Frames  uint64 `json:"frames_forwarded"` // sent to the target
	Dropped uint64 `json:"frames_dropped"`   // lost: the buffers of one side were full, or the link broke
	Late    uint64 `json:"frames_late"`      // of frames: they came behind the first that reached the target by themselves
}

// Phases are the times of a move's parts; 0 for those that it did not have.
type Phases struct {
	ReserveMS float64 `json:"reserve_ms"` // until the target was built and rehearsed
	PushMS    float64 `json:"push_ms"`    // memory was sent while the guest ran
	StopMS    float64 `json:"stop_ms"`    // the guest stood still
	PullMS    float64 `json:"pull_ms"`    // memory was sent while the guest ran at the target
}

// Pages counts what was sent, by kind.
type Pages struct {
	Data      uint64 `json:"data"`
	Zero      uint64 `json:"zero"`
	Hole      uint64 `json:"hole"`      // that was data before
	Duplicate uint64 `json:"duplicate"` // of data and zero: sent again, for the guest had written them again
}

// Forecast is what was expected when the guest was stopped, to be compared with what came of it.
type Forecast struct {
	DowntimeMS        float64 `json:"downtime_ms"` // 0: unknown, or pages were left to be pulled
	BandwidthBitsPerS float64 `json:"bandwidth_bits_per_s"`
}

// Faults says how long the guest waited for pages that were missing at the target, from the request to the wake.
type Faults struct {
	Count     uint64        `json:"count"`
	P50US     float64       `json:"p50_us"`
	P99US     float64       `json:"p99_us"`
	MaxUS     float64       `json:"max_us"`
	BlockedMS float64       `json:"blocked_ms"` // the sum of all waits
	AskUS     float64       `json:"ask_us"`     // medians of the parts: asking,
	WireUS    float64       `json:"wire_us"`    // until the page came,
	PlaceUS   float64       `json:"place_us"`   // until it was in place
	Histogram []FaultBucket `json:"histogram,omitempty"`
}

// FaultBucket is one bar: how many waits lasted up to so many microseconds, and longer than the bar before.
type FaultBucket struct {
	UpToUS float64 `json:"up_to_us"`
	Count  uint64  `json:"count"`
}

// Round is one pass over dirty memory.
type Round struct {
	Pages        uint64  `json:"pages"`
	Bytes        uint64  `json:"bytes"`
	MS           float64 `json:"ms"`
	DirtiedPages uint64  `json:"dirtied_pages"` // found dirty at the end of the round

	SentBitsPerS  float64 `json:"sent_bits_per_s"`  // rate at which it was sent
	DirtyBitsPerS float64 `json:"dirty_bits_per_s"` // rate at which the guest wrote meanwhile
}

// Throttled says how much a guest was slowed down.
type Throttled struct {
	MaxPercent int     `json:"max_percent"` // of its time that it stood still; 0: it was not
	MS         float64 `json:"ms"`          // during which it did
}

// Downtime splits downtime_ms into its parts.
type Downtime struct {
	PauseMS  float64 `json:"pause_ms"`  // kick to all vCPUs stopped and devices quiet, and the wait of --pause-before-switchover
	PagesMS  float64 `json:"pages_ms"`  // last pages
	StateMS  float64 `json:"state_ms"`  // saving, sending and restoring the state
	CommitMS float64 `json:"commit_ms"` // commit and the durable record
	ResumeMS float64 `json:"resume_ms"` // first KVM_RUN to receipt of running
}

// StreamLine is one line of a migrate or snapshot answer; exactly one of its fields is set.
type StreamLine struct {
	Progress *Progress `json:"progress,omitempty"`
	Result   *Result   `json:"result,omitempty"`
	Error    *Error    `json:"error,omitempty"` // it ended without a result
}

// Milliseconds returns d as the API writes durations.
func Milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Duration returns the duration of a field that counts milliseconds.
func Duration(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }
