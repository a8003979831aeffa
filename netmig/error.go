package netmig

// Codes of errors, for programs.
const (
	CodeUsage      = "usage"              // what was asked for makes no sense; correct it
	CodePermission = "network_permission" // the host does not allow it to this user
	CodeAbsent     = "network_absent"     // a link or the tap driver is not there
	CodeBusy       = "network_busy"       // another process has the tap
	CodeTaken      = "network_taken"      // somebody else on the network has the guest's address
	CodeHook       = "network_hook"       // a hook of the site refused it
	CodeMismatch   = "network_mismatch"   // what is there is of another kind than what is needed
	CodeHost       = "network"            // the host failed otherwise
)

// Error is a failure that a person can act on: Remedy says how.
type Error struct {
	Code, Message, Remedy string
	Err                   error // the cause, where there is one
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

func (e *Error) Unwrap() error { return e.Err }

// Failure lets it cross between processes and to the user.
func (e *Error) Failure() (code, message, remedy string) { return e.Code, e.Error(), e.Remedy }
