package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/image"
	"github.com/ferryvmm/ferry/vmm/supervisor"
)

var (
	_ repeatable  = (*list[image.Spec])(nil)
	_ pflag.Value = (*vsock)(nil)
)

// repeatable is a flag that may be given several times.
type repeatable interface {
	pflag.Value
	// texts are the values as they were given.
	texts() []string
}

// list is the values of a flag that may be given several times.
type list[T any] struct {
	kind   string
	parse  func(string) (T, error)
	values []T
	given  []string
}

func (l *list[T]) Type() string    { return l.kind }
func (l *list[T]) String() string  { return strings.Join(l.given, " ") }
func (l *list[T]) texts() []string { return l.given }

func (l *list[T]) Set(text string) error {
	v, err := l.parse(text)
	if err != nil {
		return err
	}
	l.values, l.given = append(l.values, v), append(l.given, text)
	return nil
}

// twice is the first id that two of the values have; empty if each has its own.
func twice[T any](values []T, id func(T) string) string {
	seen := map[string]bool{}
	for _, v := range values {
		if seen[id(v)] {
			return id(v)
		}
		seen[id(v)] = true
	}
	return ""
}

// vsock is a guest's context id and the path of its host side.
type vsock struct{ *vmm.Vsock }

func (v *vsock) Type() string { return "CID=unix:PATH" }

func (v *vsock) String() string {
	if v.Vsock == nil {
		return ""
	}
	return strconv.FormatUint(v.CID, 10) + "=unix:" + v.Path
}

func (v *vsock) Set(text string) error {
	id, path, ok := strings.Cut(text, "=unix:")
	cid, err := strconv.ParseUint(id, 10, 32)
	if !ok || err != nil || cid < 3 || cid == 1<<32-1 || path == "" {
		return errors.New("write it as CID=unix:PATH, with a CID from 3 to 4294967294")
	}
	v.Vsock = &vmm.Vsock{CID: cid, Path: path}
	return nil
}

// deviceFlags are the virtio devices of a new guest.
type deviceFlags struct {
	disks   list[image.Spec]
	nets    list[netmig.Spec]
	balloon bool
	rng     bool
	console console
	vsock   vsock
}

func (d *deviceFlags) add(f *pflag.FlagSet) {
	d.disks = list[image.Spec]{kind: "ID=PATH[,ro][,cache=none|writeback][,queues=N]", parse: image.ParseDisk}
	d.nets = list[netmig.Spec]{kind: "ID=tap=NAME[,route]|ID=bridge=NAME[,vlan=N]|ID=macvtap=PARENT[,mode=M][,mac=M][,ip=A]…[,queues=N][,rate=R][,packets=N][,antispoof]", parse: netmig.ParseNet}
	f.Var(&d.disks, "disk", "a disk: a raw image or a block device; may be given again")
	f.Var(&d.nets, "net", "a network interface, joined to a tap, a bridge or a link; may be given again")
	f.BoolVar(&d.balloon, "balloon", false, "let the guest give back memory that it does not use")
	f.BoolVar(&d.rng, "rng", false, "a source of random numbers")
	f.Var(&d.console, "virtio-console", "a second console: stdio, none, unix:PATH or file:PATH")
	f.Var(&d.vsock, "vsock", "sockets between the host and the guest")
}

// devices are what the flags ask for.
func (d *deviceFlags) devices() supervisor.Devices {
	v := supervisor.Devices{Disks: d.disks.values, Nets: d.nets.values, Balloon: d.balloon, RNG: d.rng, Vsock: d.vsock.Vsock}
	if d.console.Kind != "" {
		v.Console = &d.console.Console
	}
	return v
}

// placeFlags say where a guest that arrives finds what it works on.
type placeFlags struct {
	disks list[supervisor.Mapping]
	nets  list[netmig.Spec]
}

func (p *placeFlags) add(f *pflag.FlagSet) {
	p.disks = list[supervisor.Mapping]{kind: "ID=PATH", parse: func(text string) (m supervisor.Mapping, err error) {
		m.ID, m.Path, err = image.ParseMapping(text)
		return m, err
	}}
	p.nets = list[netmig.Spec]{kind: "ID=tap=NAME[,route]|ID=bridge=NAME[,vlan=N]|ID=macvtap=PARENT[,mode=M]", parse: netmig.ParseNet}
	f.Var(&p.disks, "disk", "where a disk of the guest is found here (default the same path); may be given again")
	f.Var(&p.nets, "net", "what an interface of the guest joins here (default the same name); may be given again")
}

// places are what the flags say.
func (p *placeFlags) places() supervisor.Places {
	return supervisor.Places{Disks: p.disks.values, Nets: p.nets.values}
}
