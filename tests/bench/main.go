// Command bench measures what a person outside the guest sees of a move, for
// Ferry and for QEMU: the same guest, on the same path between two hosts, one
// after the other in turn. It then measures what the size of a guest costs
// whose memory is mostly untouched.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/ferryvmm/ferry/guests/loadgen"
	"github.com/ferryvmm/ferry/tests/qemu"
)

// bench is one run of the benchmark.
type bench struct {
	vmm     string // path of the command
	samples int
	kernel  string // path of loadgen's ELF, for QEMU
	qemu    qemu.Binary
}

// results is the last line of stdout.
type results struct {
	Downtime []series `json:"downtime"`
	Sparse   *sparse  `json:"sparse,omitempty"`
}

func main() {
	b := bench{}
	flag.StringVar(&b.vmm, "vmm", "bin/vmm", "the command to measure, a `file`")
	flag.IntVar(&b.samples, "samples", 5, "how often each thing is measured")
	flag.Parse()
	if b.samples < 1 {
		fmt.Fprintln(os.Stderr, "bench: -samples must be at least 1")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := b.run(ctx)
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
	text, err := json.Marshal(r)
	if err != nil {
		panic(err) // structs of numbers
	}
	fmt.Println(string(text))
}

func (b bench) run(ctx context.Context) (results, error) {
	dir, err := os.MkdirTemp("", "ferry-bench-")
	if err != nil {
		return results{}, err
	}
	defer os.RemoveAll(dir)
	b.kernel = filepath.Join(dir, "loadgen.elf")
	if err := os.WriteFile(b.kernel, loadgen.ELF(), 0o600); err != nil {
		return results{}, err
	}
	if b.qemu, err = qemu.Find(); err != nil && os.Getenv("CI") == "true" {
		return results{}, err
	} else if err != nil {
		fmt.Fprintf(os.Stderr, "bench: measuring without a comparison: %v\n", err)
	}
	var r results
	if r.Downtime, err = b.downtime(ctx); err != nil {
		return r, err
	}
	r.Sparse, err = b.sparse(ctx)
	return r, err
}
