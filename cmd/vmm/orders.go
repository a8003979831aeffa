package main

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// orders are the flags of migrate that are for a move that is under way.
type orders struct {
	cancel, proceed, pull bool
	owner                 choice // of the guest; empty: not to be decided
}

func (o *orders) flags(f *pflag.FlagSet) {
	f.BoolVar(&o.cancel, "cancel", false, "cancel the move of NAME that is under way")
	o.owner = choice{among: []string{string(api.OwnerSource), string(api.OwnerTarget)}}
	f.BoolVar(&o.proceed, "continue", false, "continue the move of NAME that waits (--pause-before-switchover)")
	f.BoolVar(&o.pull, "pull", false, "given at the target: fetch what is left of NAME's memory at its source (--mode remote)")
	f.Var(&o.owner, "resolve", "decide who owns NAME, whose move is in doubt; given on the host whose copy is to be decided")
}

// given tells whether there is an order.
func (o *orders) given() bool { return o.cancel || o.proceed || o.pull || o.owner.word != "" }

// give gives the order to a machine; no flag may say more.
func (o *orders) give(ctx context.Context, a *app, f *pflag.FlagSet, name string) error {
	word, state, act := "cancel", "cancelling", (*api.Client).CancelMigrate
	switch {
	case o.proceed:
		word, state, act = "continue", "continuing", (*api.Client).ContinueMigrate
	case o.pull:
		word, state, act = "pull", "pulled", (*api.Client).Pull
	case o.owner.word != "":
		word = "resolve"
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
	if word == "resolve" {
		return a.resolveMove(ctx, name, api.Owner(o.owner.word))
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

// resolveMove decides on a person's word who owns a guest.
func (a *app) resolveMove(ctx context.Context, name string, owner api.Owner) error {
	if err := api.CheckName(name); err != nil {
		return err
	}
	dir, err := a.dir()
	if err != nil {
		return err
	}
	if err := a.resolve(ctx, dir, name, owner); err != nil {
		return err
	}
	if a.json {
		a.emit(struct {
			Name  string    `json:"name"`
			State string    `json:"state"`
			Owner api.Owner `json:"owner"`
		}{name, "resolved", owner})
		return nil
	}
	a.printLine(name)
	return nil
}
