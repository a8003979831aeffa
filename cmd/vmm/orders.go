package main

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// orders are the flags of migrate that are for a move that is under way.
type orders struct{ cancel, proceed bool }

func (o *orders) flags(f *pflag.FlagSet) {
	f.BoolVar(&o.cancel, "cancel", false, "cancel the move of NAME that is under way")
	f.BoolVar(&o.proceed, "continue", false, "continue the move of NAME that waits (--pause-before-switchover)")
}

// given tells whether there is an order.
func (o *orders) given() bool { return o.cancel || o.proceed }

// give gives the order to a machine; no flag may say more.
func (o *orders) give(ctx context.Context, a *app, f *pflag.FlagSet, name string) error {
	word, state, act := "cancel", "cancelling", (*api.Client).CancelMigrate
	if o.proceed {
		word, state, act = "continue", "continuing", (*api.Client).ContinueMigrate
	}
	var err error
	f.Visit(func(other *pflag.Flag) {
		if other.Name != word && other.Name != "json" && err == nil {
			err = usage("--%s goes with no --%s", word, other.Name)
		}
	})
	if err != nil {
		return err
	}
	client, err := a.machine(name)
	if err != nil {
		return err
	}
	if err := act(client, ctx); err != nil {
		return err
	}
	if a.json {
		a.emit(struct {
			Name  string `json:"name"`
			State string `json:"state"`
		}{name, state})
		return nil
	}
	a.printLine(name)
	return nil
}
