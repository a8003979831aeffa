package api

import "time"

// State is what a machine is doing, as `vmm ps` shows it.
type State string

// The states of a machine.
const (
	StateRunning      State = "running"
	StatePaused       State = "paused"
	StateReceiving    State = "receiving"    // waits for a guest, or is being sent one
	StateMigrating    State = "migrating"    // the guest runs here while it is sent away
	StateWaiting      State = "waiting"      // source: the guest is paused, and the move waits to be continued
	StatePulling      State = "pulling"      // target: the guest runs here, memory of it is still at its source
	StateServing      State = "serving"      // source: the guest runs at its target, its memory stays here until it is fetched
	StateRelinquished State = "relinquished" // source: the commit may have left, the guest no longer runs here
	StateInDoubt      State = "in_doubt"     // source: nobody could say yet which side owns the guest
	StateLost         State = "lost"         // the only owner was killed
	StateOrphaned     State = "orphaned"     // its supervisor died; the guest runs on
)

// States are all of them.
var States = []State{
	StateRunning, StatePaused, StateReceiving, StateMigrating, StateWaiting, StatePulling, StateServing, StateRelinquished, StateInDoubt, StateLost, StateOrphaned,
}

// Machine describes one machine.
type Machine struct {
	Name          string    `json:"name"`
	State         State     `json:"state"`
	PID           int       `json:"pid"`            // the machine process; 0 while there is none
	SupervisorPID int       `json:"supervisor_pid"` // 0 when orphaned
	CPUs          int       `json:"cpus"`
	MemoryBytes   uint64    `json:"memory_bytes"`            // as configured
	ResidentBytes uint64    `json:"resident_bytes"`          // data in its memfds
	MissingBytes  uint64    `json:"missing_bytes,omitempty"` // of its memory that is still at its source, or was when that died
	Missing       []Range   `json:"missing,omitempty"`       // where that is; the first few where there is much
	UptimeMS      float64   `json:"uptime_ms"`               // since the guest runs in this process
	StartedAt     time.Time `json:"started_at"`              // zero while no guest runs
	Kernel        string    `json:"kernel"`                  // path, or "loadgen"
	Cmdline       string    `json:"cmdline"`
	Console       string    `json:"console"` // as given to --console
	Clock         string    `json:"clock"`   // advance or freeze
	CPU           string    `json:"cpu"`     // as given to --cpu where the guest began; empty: not known
	Devices       []Device  `json:"devices"` // virtio, in the order in which the guest numbers them
	// ReadyMS is the time from the process's start to the guest's ready signal, nil until it came (a guest that
	// arrived by a move gave it elsewhere).
	ReadyMS      *float64 `json:"ready_ms"`
	CountedWrong bool     `json:"counted_wrong"` // the guest reported having counted something wrong
	Version      string   `json:"version"`       // of the supervisor
	Moves        int      `json:"moves"`         // completed moves of this guest so far
	Socket       string   `json:"socket"`
	Listening    string   `json:"listening,omitempty"` // the address a receiving machine listens on

	// Confinement is by what the machine process is confined: "none", or some words.
	Confinement []string `json:"confinement,omitempty"`

	DirtyTracking string `json:"dirty_tracking"` // how the guest's writes are logged here: bitmap or ring
}

// Started is what run, receive and restore report once the guest runs, and what a detached start returns.
type Started struct {
	// Listening is set when the machine waits for a guest instead of running one.
	Listening string `json:"listening,omitempty"`
	Name      string `json:"name"`
	PID       int    `json:"pid"`
	Socket    string `json:"socket"`
}

// Range is a part of the guest's memory, in bytes.
type Range struct {
	Address uint64 `json:"address"`
	Size    uint64 `json:"size"`
}
