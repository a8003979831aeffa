package main

import "github.com/spf13/cobra"

func (a *app) runCommand() *cobra.Command {
	r := newRunFlags(a)
	cmd := &cobra.Command{
		Use:   "run [flags]",
		Short: "Boot a guest and run it until it ends or moves away",
		Long: `Boot a guest and run it until it ends or moves away. Without --kernel it is loadgen, the built-in guest that
checks its own memory.

Exit code: 0 power-off, stopped or moved away; 1 error; 2 usage; 3 lost; 4 the guest crashed, or loadgen ended
having counted anything wrong; 137 killed.`,
		Example: "  vmm run --name alpha --memory 512M --cpus 2\n" +
			"  vmm run --kernel vmlinux --initrd initramfs --cmdline 'console=ttyS0 panic=-1' --detach\n" +
			"  vmm run -f machine.json --memory 1G",
		Args: takes(),
	}
	f := cmd.Flags()
	r.machine(f)
	r.flags(cmd, "run in the background; return when the guest runs")
	cmd.RunE = a.do(func(cmd *cobra.Command, args []string) error {
		if err := r.settle(f); err != nil {
			return err
		}
		if err := r.start.settle(); err != nil {
			return err
		}
		if r.detach && r.devices.console.Kind == "stdio" {
			return usage("--detach leaves no terminal for --virtio-console stdio")
		}
		if r.devices.console.Kind == "stdio" && (r.console.Kind == "stdio" || a.json) {
			return usage("--virtio-console stdio needs stdout for itself: give --console none, and no --json")
		}
		if r.detach {
			return r.background(cmd, args)
		}
		dir, err := a.dir()
		if err != nil {
			return err
		}
		ctx, stop := a.untilSignal(cmd.Context())
		defer stop()
		return r.ended(a.run(ctx, r.config(dir, f)))
	})
	return cmd
}
