package main

import (
	"errors"

	"github.com/spf13/pflag"

	"github.com/ferryvmm/ferry/vmm/supervisor"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// userFlag is whose the machine process is to be.
type userFlag struct {
	text string
	to   *supervisor.Confinement
}

var _ pflag.Value = (*userFlag)(nil)

func (u *userFlag) String() string { return u.text }
func (u *userFlag) Type() string   { return "USER" }

func (u *userFlag) Set(text string) error {
	user, err := supervisor.ParseUser(text)
	if err != nil {
		known := api.AsError(err)
		return errors.New(known.Message)
	}
	u.text, u.to.User = text, user
	return nil
}
