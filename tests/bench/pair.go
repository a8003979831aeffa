package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
	"github.com/ferryvmm/ferry/tests/qemu"
)

// pair is a guest in QEMU that is to move from one host of a lab to the next, and who watches it.
type pair struct {
	observer       *lab.Observer
	source, target *qemu.Machine
	arrives        *lab.Stream // the target's serial line
	config         qemu.Config
	hosts          []*lab.Host
}

// startPair boots the downtime's guest, of config what is not the same for all, and returns when it beats. There is no
// target yet.
func (b bench) startPair(ctx context.Context, l *lab.Lab, config qemu.Config) (*pair, error) {
	config.Binary, config.Kernel, config.Memory, config.CPUs = b.qemu, b.kernel, cmp.Or(config.Memory, memory), cmp.Or(config.CPUs, 1)
	p := &pair{observer: lab.NewObserver(drive.Period), config: config, hosts: l.Hosts}
	p.config.Host = l.Hosts[0]
	var err error
	if p.source, err = qemu.Start(ctx, p.config); err != nil {
		return nil, err
	}
	p.observer.Watch("source", p.source.Serial)
	if err := errors.Join(p.observer.WaitReady(ctx), p.observer.WaitBeats(ctx, "source", 1, settleBeats)); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// listen starts the target.
func (p *pair) listen(ctx context.Context, o qemu.MigrateOptions) (err error) {
	c := p.config
	c.Host, c.Incoming = p.hosts[1], true
	if p.target, err = qemu.Start(ctx, c); err != nil {
		return err
	}
	p.arrives = p.observer.Watch("target", p.target.Serial)
	return p.target.Listen(ctx, p.address(), o)
}

func (p *pair) address() string { return fmt.Sprintf("tcp:%s:4444", p.hosts[1].Addr) }

// move moves the guest, as listen was told, and returns when it beats at the target.
func (p *pair) move(ctx context.Context, o qemu.MigrateOptions) (qemu.Moved, error) {
	moved, err := p.source.Migrate(ctx, p.address(), o)
	if err != nil {
		return moved, err
	}
	return moved, p.observer.WaitBeats(ctx, "target", 1, settleBeats)
}

func (p *pair) close() error {
	err := p.source.Close()
	if p.target != nil {
		err = errors.Join(err, p.target.Close())
	}
	return err
}
