package main

import (
	"context"
	"os"
	"os/signal"
	"time"

	"github.com/ferryvmm/ferry/vcpu"
	"github.com/ferryvmm/ferry/vmm/supervisor"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
	"github.com/ferryvmm/ferry/vmm/supervisor/doctor"
	"github.com/ferryvmm/ferry/vmm/supervisor/identity"
)

// backend is what the commands need of package supervisor; tests put their own in its place.
type backend struct {
	dir     func() (string, error)
	list    func(dir string) ([]api.Machine, error)
	open    func(dir, name string) (*api.Client, error)
	kill    func(dir, name string) error
	resolve func(ctx context.Context, dir, name string, owner api.Owner) error
	watch   func(*api.Client) (watch, error)
	run     func(context.Context, supervisor.RunConfig) (supervisor.Exit, error)
	receive func(context.Context, supervisor.ReceiveConfig) (supervisor.Exit, error)
	restore func(context.Context, supervisor.RestoreConfig) (supervisor.Exit, error)
	adopt   func(context.Context, supervisor.AdoptConfig) (supervisor.Exit, error)
	detach  func(args []string) (api.Started, error)
	// cpu is the most that a guest can have on this host.
	cpu func() (vcpu.Model, error)
	// examine looks at this host; probe asks a receiver what its host can take.
	examine func(dir string) (doctor.Report, vcpu.Model)
	probe   func(ctx context.Context, address, tls string, insecure bool) ([]byte, error)
	// certs makes certificates for hosts.
	certs func(dir string, hosts [][]string, valid time.Duration) ([]identity.Issued, error)
	// failed tells a parent that waits in detach why this process failed.
	failed func(error)
}

// watch waits until a machine's processes, socket and name are gone. It is made before the request that ends the machine.
type watch interface {
	Wait(ctx context.Context) error
	Close() error
}

var _ watch = (*supervisor.Watch)(nil)

func realBackend() backend {
	return backend{
		dir:     supervisor.Dir,
		list:    supervisor.List,
		open:    supervisor.Open,
		kill:    supervisor.Kill,
		resolve: supervisor.Resolve,
		watch:   func(c *api.Client) (watch, error) { return supervisor.NewWatch(c) },
		// Each is all that this process does from then on.
		run: func(ctx context.Context, c supervisor.RunConfig) (supervisor.Exit, error) {
			c.Confinement.Alone = true
			return supervisor.Run(ctx, c)
		},
		receive: func(ctx context.Context, c supervisor.ReceiveConfig) (supervisor.Exit, error) {
			c.Confinement.Alone = true
			return supervisor.Receive(ctx, c)
		},
		restore: func(ctx context.Context, c supervisor.RestoreConfig) (supervisor.Exit, error) {
			c.Confinement.Alone = true
			return supervisor.Restore(ctx, c)
		},
		adopt: func(ctx context.Context, c supervisor.AdoptConfig) (supervisor.Exit, error) {
			c.Alone = true
			return supervisor.Adopt(ctx, c)
		},
		detach:  supervisor.Detach,
		cpu:     supervisor.HostCPU,
		examine: doctor.Examine,
		probe:   supervisor.Probe,
		certs:   identity.Issue,
		failed:  supervisor.ReportFailure,
	}
}

// notify delivers the signals until stop is called. One that this process was started with ignored (nohup) stays so.
func notify(wanted ...os.Signal) (got <-chan os.Signal, stop func()) {
	channel := make(chan os.Signal, 4)
	for _, s := range wanted {
		if !signal.Ignored(s) {
			signal.Notify(channel, s)
		}
	}
	return channel, func() { signal.Stop(channel) }
}

// machine opens the machine of that name in the state folder.
func (a *app) machine(name string) (*api.Client, error) {
	if err := api.CheckName(name); err != nil {
		return nil, err
	}
	dir, err := a.dir()
	if err != nil {
		return nil, err
	}
	return a.open(dir, name)
}
