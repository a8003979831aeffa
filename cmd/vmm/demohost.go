package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// endWithin bounds how long a process may take to end once it has been asked to, or its guest is gone.
const endWithin = 15 * time.Second

// demoHost is one of the two hosts of a demo.
type demoHost struct {
	name    string
	address string
	dir     string    // its state folder
	inside  *lab.Host // nil: this host itself
}

// makeHosts makes two namespaces if that is allowed, else two state folders on this host.
func (d *demo) makeHosts() error {
	temp, err := os.MkdirTemp("", "ferry-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	d.temp = temp
	for i, name := range []string{"A", "B"} {
		d.hosts[i] = &demoHost{name: name, address: "127.0.0.1", dir: filepath.Join(temp, name)}
		if err := os.Mkdir(d.hosts[i].dir, 0o700); err != nil {
			return fmt.Errorf("make a folder for the demo: %w", err)
		}
	}
	made, err := lab.New(len(d.hosts) + 1)
	if errors.Is(err, lab.ErrNeedsRoot) {
		d.say("Hosts A and B are both this host, on its loopback address (as root they are two namespaces and a bridge).")
		return nil
	}
	if err != nil {
		return err
	}
	d.lab = made
	for i, h := range d.hosts {
		h.inside, h.address = made.Hosts[i], made.Hosts[i].Addr.String()
	}
	d.say("Hosts A (%s) and B (%s) are two network namespaces joined by a switch.", d.hosts[0].address, d.hosts[1].address)
	return d.makeNetwork()
}

// insecure is what the commands need to use the addresses of the namespaces.
func (d *demo) insecure() []string {
	if d.lab == nil {
		return nil
	}
	return []string{"--insecure"}
}

// start starts this program with args on a host.
func (d *demo) start(h *demoHost, args ...string) (*child, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer write.Close()
	cmd := exec.Command(d.app.self, args...)
	cmd.Env = append(os.Environ(), "FERRY_DIR="+h.dir)
	cmd.Stdout = write
	cmd.WaitDelay = endWithin // for stderr, should something else hold it open
	// A group of its own, so that Ctrl-C comes to the demo only; and if the demo is killed it ends by itself.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	c := newChild(args[0]+" at "+h.name, cmd, read)
	begin := cmd.Start
	if h.inside != nil {
		begin = func() error { return h.inside.Start(cmd) }
	}
	if err := begin(); err != nil {
		read.Close()
		return nil, fmt.Errorf("start %s: %w", c.what, err)
	}
	go c.wait()
	d.children = append(d.children, c)
	return c, nil
}

// command runs this program with args on a host to its end, and returns what it printed.
func (d *demo) command(ctx context.Context, h *demoHost, args ...string) ([]byte, error) {
	c, err := d.start(h, args...)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { c.signal(syscall.SIGTERM) })()
	return c.output()
}

// close ends every process of the demo and takes the hosts away.
func (d *demo) close() error {
	var errs []error
	if d.ping != nil {
		d.ping.Stop()
	}
	for _, h := range d.hosts {
		if h == nil {
			continue
		}
		machines, err := d.app.list(h.dir)
		errs = append(errs, err)
		for _, m := range machines {
			err := d.app.kill(h.dir, m.Name)
			if known, ok := errors.AsType[*api.Error](err); !ok || known.Code != api.CodeNoSuchMachine { // it may just have ended
				errs = append(errs, err)
			}
		}
	}
	for _, c := range d.children {
		errs = append(errs, c.close())
	}
	if d.lab != nil {
		errs = append(errs, d.lab.Close())
	}
	if d.temp != "" {
		errs = append(errs, os.RemoveAll(d.temp))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clean up after the demo: %w", err)
	}
	return nil
}
