package main

import (
	"github.com/spf13/cobra"

	"github.com/ferryvmm/ferry/vmm/supervisor"
)

func (a *app) runCommand() *cobra.Command {
	s := &start{app: a}
	size := memory(256 << 20)
	huge := choice{among: []string{"2M"}}
	cpus := count{n: 1, max: maxCPUs}
	clock := choice{word: "advance", among: []string{"advance", "freeze"}}
	var kernel, initrd, cmdline, cpu string
	var devices deviceFlags
	cmd := &cobra.Command{
		Use:   "run [flags]",
		Short: "Boot a guest and run it until it ends or moves away",
		Long: `Boot a guest and run it until it ends or moves away. Without --kernel it is loadgen, the built-in guest that
checks its own memory.

Exit code: 0 power-off, stopped or moved away; 1 error; 2 usage; 3 lost; 4 the guest crashed, or loadgen ended
having counted anything wrong; 137 killed.`,
		Example: "  vmm run --name alpha --memory 512M --cpus 2\n" +
			"  vmm run --kernel vmlinux --initrd initramfs --cmdline 'console=ttyS0 panic=-1' --detach",
		Args: takes(),
	}
	f := cmd.Flags()
	f.Var(&s.name, "name", "the machine's name (default chosen)")
	f.Var(&size, "memory", "the guest's memory, with M for MiB or G for GiB")
	f.Var(&huge, "hugepages", "back the memory with huge pages, reserved on this host; a host it moves to needs them too")
	f.Var(&cpus, "cpus", "the number of virtual CPUs")
	f.StringVar(&cpu, "cpu", "host", "the CPU that the guest sees: host, baseline, or a `FILE` of vmm cpu")
	f.StringVar(&kernel, "kernel", "", "a `FILE` that is a kernel: a PVH ELF or a bzImage (default loadgen)")
	f.StringVar(&initrd, "initrd", "", "the kernel's initial RAM disk, a `FILE`")
	f.StringVar(&cmdline, "cmdline", "", "the kernel's command `LINE` (default \"console=ttyS0 panic=-1\")")
	f.Var(&clock, "clock", "whether the guest's clock goes on while it is paused or saved")
	tracking := trackingFlag(f)
	devices.add(f)
	s.flags(cmd, "run in the background; return when the guest runs")
	cmd.RunE = a.do(func(cmd *cobra.Command, args []string) error {
		if f.Changed("kernel") && kernel == "" {
			return usage("--kernel needs the name of a file")
		}
		if f.Changed("initrd") && kernel == "" {
			return usage("--initrd needs --kernel: loadgen takes none")
		}
		if err := s.settle(); err != nil {
			return err
		}
		if s.detach && devices.console.Kind == "stdio" {
			return usage("--detach leaves no terminal for --virtio-console stdio")
		}
		if devices.console.Kind == "stdio" && (s.console.Kind == "stdio" || a.json) {
			return usage("--virtio-console stdio needs stdout for itself: give --console none, and no --json")
		}
		if s.detach {
			return s.background(cmd, args)
		}
		dir, err := a.dir()
		if err != nil {
			return err
		}
		ctx, stop := a.untilSignal(cmd.Context())
		defer stop()
		return s.ended(a.run(ctx, supervisor.RunConfig{
			Dir: dir, Name: string(s.name), MemoryBytes: uint64(size), HugePages: huge.word != "", CPUs: cpus.n,
			Kernel: kernel, Initrd: initrd, Cmdline: cmdline, CmdlineSet: f.Changed("cmdline"),
			Console: s.console.Console, Clock: clock.word, Devices: devices.devices(), CPU: cpu, Tracking: tracking(), Guard: s.guard, Started: s.started,
		}))
	})
	return cmd
}
