package supervisor

import (
	"errors"

	"github.com/ferryvmm/ferry/internal/ipc"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// fromMachine gives an error that the machine answered the shape that people
// and programs are told.
func fromMachine(err error) error {
	var f ipc.Failure
	if errors.As(err, &f) {
		code, _, remedy := f.Failure()
		return &api.Error{Code: code, Message: err.Error(), Remedy: remedy}
	}
	return err
}

// crossing gives an error the shape that crosses to the machine with its code.
func crossing(err error) error {
	e := api.AsError(err)
	return &ipc.Error{Code: e.Code, Message: e.Message, Remedy: e.Remedy}
}
