package api

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// The codes of errors that a program may want to tell apart.
const (
	CodeBadRequest     = "bad_request"     // the request makes no sense; correct it
	CodeUsage          = "usage"           // the command line makes no sense (exit code 2)
	CodeNoSuchMachine  = "no_such_machine" // no machine of that name here; `vmm ps` lists those there are
	CodeOrphaned       = "orphaned"        // its supervisor died: only kill works
	CodeBadState       = "bad_state"       // not possible in the machine's state; wait, or pause/resume it first
	CodeNameInUse      = "name_in_use"     // choose another --name, or end the machine that has it
	CodeInsecure       = "insecure"        // the address is not loopback: --insecure is needed
	CodeTLS            = "tls"             // certificates, or what a peer says of them: nothing has begun
	CodeUnreachable    = "unreachable"     // the target could not be dialled
	CodeConnectionLost = "connection_lost" // the supervisor went away in the middle of a request
	CodeGuestEnded     = "guest_ended"     // of a move: the guest powered off, crashed or was stopped meanwhile
	CodeNoDir          = "no_dir"          // the state folder cannot be used; set FERRY_DIR
	CodeBusy           = "busy"            // as many ask for this already as may; try again
	CodeInternal       = "internal"        // a fault of Ferry's own, or one without a code of its own
)

// Error is a failure as people and programs are told it. Message says what happened, Remedy what to do about it; both
// are single sentences without a full stop, and Remedy may be empty.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// ErrorBody is the body of every answer that is not a success.
type ErrorBody struct {
	Error *Error `json:"error"`
}

// Errorf returns an Error with a formatted message.
func Errorf(code, remedy, format string, args ...any) *Error {
	return &Error{Code: code, Message: line(fmt.Sprintf(format, args...)), Remedy: remedy}
}

// line makes one line of errors that were joined.
func line(message string) string { return strings.ReplaceAll(message, "\n", "; ") }

// AsError returns the Error to report for err: the first *Error in its chain, with err's whole text as its message, or
// one of code CodeInternal. It returns nil for nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	if known, ok := errors.AsType[*Error](err); ok {
		return &Error{Code: known.Code, Message: line(err.Error()), Remedy: known.Remedy}
	}
	return &Error{Code: CodeInternal, Message: line(err.Error())}
}

// httpStatus is the status that goes with an error code.
func httpStatus(code string) int {
	switch code {
	case CodeBadRequest, CodeUsage, CodeInsecure:
		return http.StatusBadRequest
	case CodeNoSuchMachine:
		return http.StatusNotFound
	case CodeBadState, CodeNameInUse, CodeOrphaned:
		return http.StatusConflict
	case CodeBusy:
		return http.StatusServiceUnavailable
	case CodeUnreachable, CodeConnectionLost, CodeTLS:
		return http.StatusBadGateway
	}
	return http.StatusInternalServerError
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

// CheckName returns a usage error if name cannot be a machine's name. Names become file names, so they are letters,
// digits, '_', '.' and '-', start with a letter or a digit, and are at most 63 bytes long.
func CheckName(name string) error {
	if namePattern.MatchString(name) {
		return nil
	}
	return Errorf(CodeUsage, "use letters, digits, '_', '.' and '-', at most 63, starting with a letter or a digit",
		"%q cannot be the name of a machine", name)
}
