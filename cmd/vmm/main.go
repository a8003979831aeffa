// Command vmm runs guests under KVM and moves them, running, to another host.
//
// Its flags, JSON and exit codes are a contract: docs/cli.md. Each command is a thin shell over the API of a machine
// (package api) and over package supervisor, which is the privileged half of a machine that this binary becomes with run,
// receive and restore.
package main

import (
	"context"
	"os"

	"github.com/ferryvmm/ferry/vmm/supervisor"
)

func main() {
	if supervisor.MachineMain() {
		return
	}
	a := &app{
		backend: realBackend(),
		stdin:   os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		signals: notify, self: "/proc/self/exe",
	}
	os.Exit(a.main(context.Background(), os.Args[1:]))
}
