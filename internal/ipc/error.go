package ipc

import "errors"

// Error is a failure that crossed to the other process: a code for programs, a
// message and a remedy for people.
type Error struct {
	Code    string `cbor:"1,keyasint"`
	Message string `cbor:"2,keyasint"`
	Remedy  string `cbor:"3,keyasint,omitempty"`
}

func (e *Error) Error() string { return e.Message }

// Failure is what an error offers to cross with its code and remedy.
type Failure interface {
	error
	// Failure returns the code, the message and the remedy.
	Failure() (code, message, remedy string)
}

// Failure makes an Error that crossed once able to cross again.
func (e *Error) Failure() (code, message, remedy string) { return e.Code, e.Message, e.Remedy }

var _ Failure = (*Error)(nil)

// toError prepares err for the way.
func toError(err error) *Error {
	if err == nil {
		return nil
	}
	var f Failure
	if errors.As(err, &f) {
		code, _, remedy := f.Failure()
		return &Error{Code: code, Message: err.Error(), Remedy: remedy}
	}
	return &Error{Code: "internal", Message: err.Error()}
}
