package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/image"
	"github.com/ferryvmm/ferry/vmm/supervisor"
)

// runFlags are what a new guest is to be: the flags of run, and of inspect, which only looks at them.
type runFlags struct {
	start
	file                         string
	size                         memory
	huge                         choice
	cpus                         count
	cpu, kernel, initrd, cmdline string
	clock                        choice
	tracking                     func() vmm.Tracking
	devices                      deviceFlags
}

func newRunFlags(a *app) *runFlags {
	return &runFlags{
		start: start{app: a}, size: 256 << 20, huge: choice{among: []string{"2M"}}, cpus: count{n: 1, max: vmm.MaxCPUs},
		clock: choice{word: "advance", among: []string{"advance", "freeze"}},
	}
}

// machine adds the flags that say what the guest is, and the file that may say so in their place.
func (r *runFlags) machine(f *pflag.FlagSet) {
	f.StringVarP(&r.file, "file", "f", "", "a `FILE` that says what the flags say, as JSON; flags override it")
	f.Var(&r.name, "name", "the machine's name (default chosen)")
	f.Var(&r.size, "memory", "the guest's memory, with M for MiB or G for GiB")
	f.Var(&r.huge, "hugepages", "back the memory with huge pages, reserved on this host; a host it moves to needs them too")
	f.Var(&r.cpus, "cpus", "the number of virtual CPUs")
	f.StringVar(&r.cpu, "cpu", "host", "the CPU that the guest sees: host, baseline, or a `FILE` of vmm cpu")
	f.StringVar(&r.kernel, "kernel", "", "a `FILE` that is a kernel: a PVH ELF or a bzImage (default loadgen)")
	f.StringVar(&r.initrd, "initrd", "", "the kernel's initial RAM disk, a `FILE`")
	f.StringVar(&r.cmdline, "cmdline", "", "the kernel's command `LINE` (default \"console=ttyS0 panic=-1\")")
	f.Var(&r.clock, "clock", "whether the guest's clock goes on while it is paused or saved")
	r.tracking = trackingFlag(f)
	r.devices.add(f)
}

// settle takes what the file says, and wants all of it to make sense together.
func (r *runFlags) settle(f *pflag.FlagSet) error {
	if f.Changed("file") {
		if err := applyMachineFile(f, r.file); err != nil {
			return err
		}
	}
	if f.Changed("kernel") && r.kernel == "" {
		return usage("--kernel needs the name of a file")
	}
	if f.Changed("initrd") && r.kernel == "" {
		return usage("--initrd needs --kernel: loadgen takes none")
	}
	if id := twice(r.devices.disks.values, func(s image.Spec) string { return s.ID }); id != "" {
		return usage("--disk %s is given twice: each disk has an ID of its own", id)
	}
	if id := twice(r.devices.nets.values, func(s netmig.Spec) string { return s.ID }); id != "" {
		return usage("--net %s is given twice: each network has an ID of its own", id)
	}
	return nil
}

// config is what was asked for. Precondition: settled.
func (r *runFlags) config(dir string, f *pflag.FlagSet) supervisor.RunConfig {
	return supervisor.RunConfig{
		Dir: dir, Name: string(r.name), MemoryBytes: uint64(r.size), HugePages: r.huge.word != "", CPUs: r.cpus.n,
		Kernel: r.kernel, Initrd: r.initrd, Cmdline: r.cmdline, CmdlineSet: f.Changed("cmdline"),
		Console: r.console.Console, Clock: r.clock.word, Devices: r.devices.devices(), CPU: r.cpu, Tracking: r.tracking(), Guard: r.guard, Confinement: r.confinement, Started: r.started,
	}
}

func (a *app) inspectCommand() *cobra.Command {
	r := newRunFlags(a)
	cmd := &cobra.Command{
		Use:   "inspect [flags]",
		Short: "Print the machine file that says what run would run",
		Long: `Print the machine file that says all that run with the same flags would run: what the file of --file says, what flags
override, and the defaults. Nothing is started, and no file that it names is opened.`,
		Example: "  vmm inspect -f machine.json --memory 1G > larger.json",
		Args:    takes(),
	}
	f := cmd.Flags()
	r.machine(f)
	r.placeFlags(f)
	cmd.RunE = a.do(func(cmd *cobra.Command, args []string) error {
		if err := r.settle(f); err != nil {
			return err
		}
		text, err := encodeMachineFile(f)
		if err == nil {
			a.printLine(text)
		}
		return err
	})
	return cmd
}
