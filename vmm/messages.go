package vmm

import (
	"os"
	"time"

	"github.com/ferryvmm/ferry/internal/ipc"
	"github.com/ferryvmm/ferry/internal/sealed"
	"github.com/ferryvmm/ferry/migration"
)

// What the supervisor asks of the machine. Each name is a call of internal/ipc
// and stands beside the type of its argument and of its answer.
const (
	MethodBoot          = "boot"           // Boot → Facts: builds the guest and runs it
	MethodReceive       = "receive"        // Incoming → Arrival: takes a guest in; answers when the source has released it or the attempt failed
	MethodRestore       = "restore"        // Incoming → Arrival: takes a guest from a snapshot
	MethodInfo          = "info"           // nil → Facts
	MethodPause         = "pause"          // nil → nil
	MethodResume        = "resume"         // nil → nil
	MethodBalloon       = "balloon"        // Balloon → nil: asks the guest to give memory back, or to take it; does not wait for it
	MethodDirtyRate     = "dirty-rate"     // DirtyRate → DirtyPages: answers when it has been measured
	MethodStop          = "stop"           // nil → nil: asks the guest to end; does not wait for it
	MethodEnd           = "end"            // Ending → nil: ends the machine now
	MethodMigrate       = "migrate"        // Migrate → Outcome: answers when the move is decided
	MethodJoin          = "join"           // Join, one file → nil: a further connection of the move that a guest comes by
	MethodBereave       = "bereave"        // nil → nil: the machine of the guest's source is dead
	MethodFetch         = "fetch"          // nil → nil: fetches all that a guest misses, and waits for it
	MethodCancel        = "cancel"         // nil → nil: cancels the move under way
	MethodContinue      = "continue"       // nil → nil: continues the move that waits
	MethodSnapshot      = "snapshot"       // one file → Outcome
	MethodConsole       = "console"        // nil, one file → nil: attaches the connection
	MethodVirtioConsole = "virtio-console" // nil, one file → nil: attaches the connection to the virtio console
	MethodVsock         = "vsock"          // nil, one file → nil: a program of the host connects to the guest
	MethodAdopt         = "adopt"          // nil → Adopted, one file: a supervisor takes over the guest of one that died
)

// What the machine asks of, or tells, the supervisor.
const (
	MethodAsk      = "ask"      // migration.Query → migration.Answer: what became of a commit, by dialling the target anew
	MethodReach    = "reach"    // nil → Reached, one file: connects to the target of the move under way
	MethodArriving = "arriving" // Arriving → Claimed, files: claims the name of a guest that wants in, and opens what it works on
	MethodDial     = "dial"     // Dial → nil, one file: connects to the host side of the vsock
	MethodRuns     = "runs"     // State → nil: the guest that arrived is ours, and runs unless it is paused
	MethodSettle   = "settle"   // nil → nil: the source of a guest that was handed over lets go of the guest's name
	MethodLeave    = "leave"    // nil → nil: the guest runs elsewhere, and what came for it here has been forwarded: its taps are to get nothing more
	MethodEnded    = "ended"    // Ending → nil: the guest is no more; the process exits after the answer
	NoteProgress   = "progress" // migration.Progress
	NoteState      = "state"    // State
	NoteThread     = "thread"   // int, its id: a thread of the machine that is to run before others
)

// Roles of the descriptors that are handed over.
const (
	RoleKVM        = "kvm"
	RoleKernel     = "kernel"
	RoleInitrd     = "initrd"
	RoleConsoleIn  = "console-in"
	RoleConsoleOut = "console-out"
	RoleName       = "name" // keeps the lock on the machine's name; of a guest that is handed over: its source's
	RoleControl    = "control"
	RoleBulk       = "bulk"
	RoleRecord     = "record" // of the move, on this side
	RoleStream     = "stream"
	RoleUserfault  = "userfault"
)

// Boot asks for a new guest.
type Boot struct {
	Config Config
	Roles  []string // of the files, in order
}

// Incoming asks to take a guest in, from two connections or from a stream.
type Incoming struct {
	Hello migration.Hello // what the source said on the control connection
	Roles []string        // of the files, in order
	// NoUserfault is why there is no RoleUserfault among them.
	NoUserfault string
	Tracking    Tracking // of this host
	// Sessions are those of the connections under TLS, by their roles.
	Sessions map[string]sealed.Session
}

// Join says what a connection is for, and under which session it is, nil: under none.
type Join struct {
	Role    migration.Role
	Session *sealed.Session
}

// Reached is the session of a connection under TLS, nil: it is under none.
type Reached struct{ Session *sealed.Session }

// Arrival is how taking a guest in ended.
type Arrival struct {
	Failure *ipc.Error // nil: the guest runs, and its source has released it
	// Forget: the source will never ask about the move, so that its record may
	// go. Not so after a failure behind the point where it could have committed.
	Forget bool
}

// Arriving names the guest that wants in, its size, and what it works on.
type Arriving struct {
	Name        string
	CPUs        int
	MemoryBytes uint64
	HugePages   bool
	Devices     []Device
	Move        migration.MoveID // zero: a snapshot
	Token       uint64           // that its source's locks show on each image; 0: no source holds them
	// Handed: what its disks and networks work on comes from its source. One file may be with this: the lock of its name there.
	Handed bool
}

// Claimed is the name that the guest will have here, with the files for it: the
// lock of the name if it is a new one, and what the devices work on.
type Claimed struct {
	Name    string
	Devices []Device // those that arrive, as they are joined to this host
	Roles   []string // of the files, in order
	Heir    bool     // the name is its source's, and ours from MethodSettle on
}

// Balloon asks the guest to do with so much of its memory.
type Balloon struct{ MemoryBytes uint64 }

// DirtyRate asks how much the guest writes in a time.
type DirtyRate struct {
	Duration time.Duration
	Yield    bool // whatever needs the dirty log ends the measurement instead of being refused
}

// DirtyPages is how many pages became dirty in a time; one that was dirty already does not count again.
type DirtyPages struct {
	Duration time.Duration // that was measured
	Pages    uint64
	CPUs     []uint64 // of them, by the vCPU that was the first; nil: not known
}

// Dial asks for a connection to a port of the host's side of the vsock.
type Dial struct{ Port uint32 }

// Ending says how a guest ended.
type Ending struct {
	Code   int // exit code of the supervisor: contract.md
	Reason string
	Handed bool // what the guest works on is another process's now
}

// Migrate asks to send the guest away over two connections that are open.
type Migrate struct {
	Target        string // for people
	Mode          string
	DowntimeLimit time.Duration
	Bandwidth     uint64        // bits a second while the guest runs; 0: no limit
	Wait          bool          // with the guest paused, until MethodContinue
	Timeout       time.Duration // 0: none
	Move          migration.MoveID
	Epoch         uint64
	Roles         []string // of the files, in order
	Compress      string   // how pages are made smaller; empty: not at all
	Channels      int      // 0: as many as are of use
	Throttle      int      // percent at most; 0: never
	Local         bool     // the target is a process of this host: hand over whatever Mode says
	// Sessions are those of the connections under TLS, by their roles.
	Sessions map[string]sealed.Session
}

// Outcome is how a move or a snapshot ended.
type Outcome struct {
	Result migration.Result
	Error  *ipc.Error // why it did not complete
	Left   bool       // nothing of the guest is here any more: the process ends
}

// fileSet is the files of a message by role.
type fileSet map[string]*os.File

// takeFiles pairs the descriptors of a request with their roles.
func takeFiles(r *ipc.Request, roles []string) fileSet {
	files := r.Files
	r.Files = nil
	return pairFiles(files, roles)
}

// pairFiles pairs descriptors with their roles. What does not pair up is closed.
func pairFiles(files []*os.File, roles []string) fileSet {
	set := make(fileSet, len(roles))
	for i, f := range files {
		if i < len(roles) && set[roles[i]] == nil {
			set[roles[i]] = f
		} else {
			f.Close()
		}
	}
	return set
}

// take removes a file from the set: the caller owns it from then on.
func (s fileSet) take(role string) *os.File {
	f := s[role]
	delete(s, role)
	return f
}

// close closes what nobody took.
func (s fileSet) close() {
	for role, f := range s {
		f.Close()
		delete(s, role)
	}
}
