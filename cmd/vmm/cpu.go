package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/vcpu"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

func (a *app) cpuCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cpu [FILE...] [flags]",
		Short: "Show the CPU that guests can have on this host, or on all hosts that FILEs are of",
		Long: "Shows the CPU that guests can have on this host and move with: its CPUID and feature MSRs, as JSON. With files that were made so on\n" +
			"several hosts it shows what all of them can offer.",
		Example: "  vmm cpu > $(hostname).json\n" +
			"  vmm cpu *.json > cluster.json",
		RunE: a.do(func(cmd *cobra.Command, args []string) error {
			m, err := a.cpuModel(args)
			if err != nil {
				return err
			}
			text, err := m.Encode()
			if err != nil {
				return err
			}
			if a.json {
				a.emit(json.RawMessage(text))
				return nil
			}
			a.printLine(string(bytes.TrimSpace(text)))
			return nil
		}),
	}
	a.jsonFlag(cmd)
	return cmd
}

// cpuModel is the host's own, or what all files have in common.
func (a *app) cpuModel(files []string) (vcpu.Model, error) {
	if len(files) == 0 {
		m, err := a.cpu()
		if err != nil {
			return m, api.Errorf("no_kvm", "run as root or join the group that owns /dev/kvm", "the host's CPU cannot be asked for: %v", err)
		}
		return m, nil
	}
	var models []vcpu.Model
	for _, name := range files {
		m, err := readModel(name)
		if err != nil {
			return m, api.Errorf("cpu", "make the file with vmm cpu", "%s: %v", name, err)
		}
		models = append(models, m)
	}
	m, err := vcpu.Intersect(models...)
	if err != nil {
		return m, api.Errorf("cpu", "make groups of hosts among which guests can move", "%v", err)
	}
	return m, nil
}

// readModel reads a file, or as much of it as a model can be long.
func readModel(name string) (_ vcpu.Model, err error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe that nobody writes to is empty
	if err != nil {
		return vcpu.Model{}, errors.Unwrap(err) // without the name, which the caller adds
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, vcpu.MaxModelFile+1))
	if err != nil {
		return vcpu.Model{}, err
	}
	return vcpu.DecodeModel(text)
}
