package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

func (a *app) infoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "info NAME [flags]",
		Short:             "Show what is known of a machine",
		Args:              takes("NAME"),
		ValidArgsFunction: a.completeName,
		RunE: a.do(func(cmd *cobra.Command, args []string) error {
			m, err := a.describe(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if a.json {
				a.emit(m)
				return nil
			}
			return a.printInfo(m)
		}),
	}
	a.jsonFlag(cmd)
	return cmd
}

// describe asks the machine; of an orphaned one, which cannot answer, it returns what the state folder knows.
func (a *app) describe(ctx context.Context, name string) (api.Machine, error) {
	client, err := a.machine(name)
	if err == nil {
		return client.Machine(ctx)
	}
	if known, ok := errors.AsType[*api.Error](err); !ok || known.Code != api.CodeOrphaned {
		return api.Machine{}, err
	}
	dir, dirErr := a.dir()
	if dirErr != nil {
		return api.Machine{}, dirErr
	}
	machines, listErr := a.list(dir)
	if listErr != nil {
		return api.Machine{}, listErr
	}
	for _, m := range machines {
		if m.Name == name {
			return m, nil
		}
	}
	return api.Machine{}, err
}

func (a *app) printInfo(m api.Machine) error {
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	row := func(key, value string) {
		if value != "" {
			fmt.Fprintf(table, "%s:\t%s\n", printable(key), printable(value))
		}
	}
	row("name", m.Name)
	row("state", string(m.State))
	row("process", unlessZero(m.PID))
	row("supervisor", unlessZero(m.SupervisorPID))
	row("listening", m.Listening)
	row("cpus", unlessZero(m.CPUs))
	row("cpu", m.CPU)
	row("memory", memoryOrNone(m.MemoryBytes))
	if m.MissingBytes > 0 {
		row("missing", bytesText(m.MissingBytes)+", still at its source")
	}
	if m.ResidentBytes > 0 {
		row("resident", bytesText(m.ResidentBytes))
	}
	row("uptime", uptimeText(m.UptimeMS))
	if !m.StartedAt.IsZero() {
		row("started", m.StartedAt.Local().Format(time.RFC3339))
	}
	if m.ReadyMS != nil {
		row("ready after", millisText(*m.ReadyMS))
	}
	row("kernel", m.Kernel)
	row("command line", m.Cmdline)
	row("console", m.Console)
	row("clock", m.Clock)
	row("dirty tracking", m.DirtyTracking)
	for _, d := range m.Devices {
		row(deviceName(d), deviceText(d))
	}
	row("moves", fmt.Sprint(m.Moves))
	if m.CountedWrong {
		row("counted wrong", "yes: the guest found an error, see its console")
	}
	row("socket", m.Socket)
	row("version", m.Version)
	return table.Flush()
}

// printable writes what a terminal would obey, or a table take for its own, as Go does in strings: some of what is
// known of a guest comes from the host that it came from.
func printable(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		if r == utf8.RuneError && n == 1 || !strconv.IsPrint(r) {
			quoted := strconv.QuoteToASCII(text[:n])
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteString(text[:n])
		}
		text = text[n:]
	}
	return b.String()
}

// deviceName names a device as messages do.
func deviceName(d api.Device) string {
	switch d.Kind {
	case "blk":
		return "disk " + d.ID
	case "net":
		return "network " + d.ID
	}
	return "virtio-" + d.Kind
}

// deviceText describes a device in a line.
func deviceText(d api.Device) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if d.Path != "" {
		add("%s", d.Path)
	}
	if k := d.Disk; k != nil {
		add("%s", bytesText(k.SizeBytes))
		if k.ReadOnly {
			add("read only")
		}
		add("cache %s", k.Cache)
		add("%s", plural(d.Queues, "queue"))
		add("%s (%s)", plural(k.Reads, "read"), bytesText(k.ReadBytes))
		add("%s (%s)", plural(k.Writes, "write"), bytesText(k.WrittenBytes))
		add("%s", plural(k.Flushes, "flush request"))
		add("%s", plural(k.Errors, "error"))
	}
	if n := d.Network; n != nil {
		add("%v", netmig.Attachment{Tap: n.Tap, Bridge: n.Bridge, Parent: n.Macvtap, Mode: n.Mode, VLAN: n.VLAN, Routed: n.Routed})
		add("%s", n.MAC)
		add("%s", plural(d.Queues, "queue pair"))
		add("MTU %d", n.MTU)
		for _, ip := range n.IPs {
			add("%s", ip)
		}
		if n.Rate > 0 {
			add("at most %s bits/s", amountText(n.Rate))
		}
		if n.Packets > 0 {
			add("at most %s packets/s", amountText(n.Packets))
		}
		add("received %s (%s)", plural(n.RxPackets, "packet"), bytesText(n.RxBytes))
		add("sent %s (%s)", plural(n.TxPackets, "packet"), bytesText(n.TxBytes))
		add("%d dropped", n.RxDrops+n.TxDrops)
		if n.Rate > 0 || n.Packets > 0 {
			add("%d over its limits", n.RxLimited+n.TxLimited)
		}
		if n.AntiSpoof {
			add("%s in a false name", plural(n.TxSpoofed, "frame"))
		}
	}
	if b := d.Balloon; b != nil {
		add("asked for %s", bytesText(b.TargetBytes))
		add("holds %s", bytesText(b.ActualBytes))
	}
	if c := d.Console; c != nil {
		add("%s", c.Spec)
	}
	if v := d.Vsock; v != nil {
		add("context id %d", v.CID)
	}
	if parts == nil {
		return "yes"
	}
	return strings.Join(parts, ", ")
}
