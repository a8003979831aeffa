package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// Host is a place where machines run: a state folder, with the command that starts them. Two folders are two hosts, also on one
// machine. The zero value is what the command line uses.
type Host struct {
	Dir     string // the state folder; empty: as vmm chooses it, from $FERRY_DIR for instance
	Command string // path or name of vmm; empty: vmm, as $PATH has it
}

// Run boots a guest in the background and returns when it runs. The flags are those of vmm run (docs/cli.md), without --detach and
// --json. The machine does not end with this program or with ctx, which bounds the wait. An error means that nothing was started, unless it is
// that of ctx.
func (h Host) Run(ctx context.Context, flags ...string) (*api.Client, error) {
	started, err := h.start(ctx, "run", flags)
	if err != nil {
		return nil, err
	}
	return api.NewClient(started.Socket), nil
}

// Receive has a guest awaited in the background, and returns the address to which it can be sent when it is listened at. The
// flags are those of vmm receive, --listen first of all. The client is that of the receiver, which has the guest's name once
// that has come: then ask Machine for it.
func (h Host) Receive(ctx context.Context, flags ...string) (address string, receiver *api.Client, err error) {
	started, err := h.start(ctx, "receive", flags)
	if err != nil {
		return "", nil, err
	}
	return started.Listening, api.NewClient(started.Socket), nil
}

// Machine returns the machine of that name. It does not look whether there is one: the first request tells, by an error of code
// [api.CodeNoSuchMachine].
func (h Host) Machine(name string) (*api.Client, error) {
	if err := api.CheckName(name); err != nil {
		return nil, err
	}
	dir, err := h.folder()
	if err != nil {
		return nil, err
	}
	return api.NewClient(filepath.Join(dir, name+".sock")), nil
}

// Machines describes all machines that answer, by name. One whose supervisor died does not: vmm ps knows of those, too.
func (h Host) Machines(ctx context.Context) ([]api.Machine, error) {
	dir, err := h.folder()
	if err != nil {
		return nil, err
	}
	sockets, err := filepath.Glob(filepath.Join(dir, "*.sock"))
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	var all []api.Machine
	for _, path := range sockets {
		m, err := api.NewClient(path).Machine(ctx)
		if err == nil {
			all = append(all, m)
		} else if ctx.Err() != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b api.Machine) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// folder is where the sockets are.
func (h Host) folder() (string, error) {
	if h.Dir != "" {
		return h.Dir, nil
	}
	return api.Dir()
}

// maxSaid bounds what is kept of what the command says, in bytes.
const maxSaid = 64 << 10

// start has the command start a machine.
func (h Host) start(ctx context.Context, command string, flags []string) (api.Started, error) {
	name := h.Command
	if name == "" {
		name = "vmm"
	}
	cmd := exec.CommandContext(ctx, name, append([]string{command, "--detach", "--json"}, flags...)...)
	cmd.Env = os.Environ()
	if h.Dir != "" {
		cmd.Env = append(cmd.Env, "FERRY_DIR="+h.Dir)
	}
	var said bytes.Buffer
	cmd.Stdout = &said
	err := cmd.Run()
	if ctx.Err() != nil {
		return api.Started{}, fmt.Errorf("client: vmm %s: %w", command, context.Cause(ctx))
	}
	var answer struct {
		api.Started
		Error *api.Error `json:"error"`
	}
	line := said.Bytes()[:min(said.Len(), maxSaid)]
	if jsonErr := json.Unmarshal(line, &answer); jsonErr != nil {
		return api.Started{}, fmt.Errorf("client: vmm %s: %w", command, errors.Join(err, jsonErr))
	}
	if answer.Error != nil {
		return api.Started{}, answer.Error
	}
	return answer.Started, err
}
