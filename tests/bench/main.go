// Command bench measures Ferry beside QEMU, and where it boots beside gokvm: the same guest, on the same path, one
// after the other in turn, so that what else the machine does hits all of them alike. It prints medians, and as its
// last line all of them as one JSON object; with -out every sample goes to a folder, with tables and plots.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/ferryvmm/ferry/guests/loadgen"
	"github.com/ferryvmm/ferry/tests/qemu"
)

// bench is one run of the benchmark.
type bench struct {
	vmm     string // path of the command
	samples int
	loads   string // measure only loads whose name contains it, and of scale what is varied
	kernel  string // path of loadgen's ELF, for QEMU
	qemu    qemu.Binary
	most    int    // MiB, of the guests of scale and timeline
	out     string // folder for what is measured; empty: none
	record  *record
}

// results is the last line of stdout.
type results struct {
	Boot       []boots      `json:"boot,omitempty"`
	Downtime   []series     `json:"downtime,omitempty"`
	Sparse     *sparse      `json:"sparse,omitempty"`
	Faults     []faults     `json:"faults,omitempty"`
	Auto       []choice     `json:"auto,omitempty"`
	Gap        []gaps       `json:"gap,omitempty"`
	Compress   []compressed `json:"compress,omitempty"`
	Defaults   []paired     `json:"defaults,omitempty"`
	Cut        *cuts        `json:"cut,omitempty"`
	Memory     []overhead   `json:"memory,omitempty"`
	Network    []comparison `json:"net,omitempty"`
	NetMove    []netmove    `json:"netmove,omitempty"`
	TLS        []encrypted  `json:"tls,omitempty"`
	DiskDirect []comparison `json:"disk_direct,omitempty"`
	DiskCached []comparison `json:"disk_cached,omitempty"`
	Timeline   []summary    `json:"timeline,omitempty"`
	Scale      []summary    `json:"scale,omitempty"`
}

// benchmarks in the order in which they run.
var benchmarks = []struct {
	name string
	run  func(bench, context.Context, *results) error
}{
	{"boot", bench.boot},
	{"downtime", bench.downtime},
	{"sparse", bench.sparse},
	{"faults", bench.faults},
	{"auto", bench.auto},
	{"gap", bench.gap},
	{"compress", bench.compress},
	{"defaults", bench.defaults},
	{"cut", bench.cuts},
	{"memory", bench.memory},
	{"net", bench.network},
	{"netmove", bench.netmove},
	{"disk", bench.disk},
	{"timeline", bench.timeline},
	{"scale", bench.scale},
	{"tls", bench.encryption},
}

func main() {
	b := bench{record: &record{}}
	var names []string
	for _, m := range benchmarks {
		names = append(names, m.name)
	}
	flag.StringVar(&b.vmm, "vmm", "bin/vmm", "the command to measure, a `file`")
	flag.IntVar(&b.samples, "samples", 5, "how often each thing is measured")
	flag.StringVar(&b.loads, "loads", "", "of the network, the disk, compress and scale, measure what has this `text` in its name")
	flag.StringVar(&b.out, "out", "", "a `folder` for every sample as CSV, tables and plots")
	flag.IntVar(&b.most, "most", 8<<10, "the most memory that a guest of scale and timeline uses, in `MiB`; less where the host has less")
	sample := flag.Bool("quick", false, "a sample of all that concerns bulk moves, as ratios, in under a minute")
	only := flag.String("only", strings.Join(names, ","), "what to measure, a `list` of these with commas")
	flag.Parse()
	if b.samples < 1 || b.most < 1 {
		usage("-samples and -most must be at least 1")
	}
	chosen := strings.Split(*only, ",")
	for _, name := range chosen {
		if !slices.Contains(names, name) {
			usage(fmt.Sprintf("-only: there is no %q", name))
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var r any
	err := b.inFolder(func() (err error) {
		if *sample {
			r, err = b.quick(ctx)
		} else {
			r, err = b.run(ctx, chosen)
		}
		if b.out != "" { // also of what was measured before something failed
			err = errors.Join(err, b.record.write(context.WithoutCancel(ctx), b.out))
		}
		return err
	})
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

func usage(message string) {
	fmt.Fprintln(os.Stderr, "bench: "+message)
	os.Exit(2)
}

// inFolder has do run with what all benchmarks need.
func (b *bench) inFolder(do func() error) error {
	dir, err := os.MkdirTemp("", "ferry-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b.kernel = filepath.Join(dir, "loadgen.elf")
	if err := os.WriteFile(b.kernel, loadgen.ELF(), 0o600); err != nil {
		return err
	}
	if b.qemu, err = qemu.Find(); err != nil && os.Getenv("CI") == "true" {
		return err
	} else if err != nil {
		fmt.Fprintf(os.Stderr, "bench: measuring without a comparison: %v\n", err)
	}
	return do()
}

func (b bench) run(ctx context.Context, chosen []string) (r results, err error) {
	if b.out != "" {
		if err := os.MkdirAll(b.out, 0o755); err != nil {
			return r, err
		}
	}
	for _, m := range benchmarks {
		if !slices.Contains(chosen, m.name) {
			continue
		}
		if err := m.run(b, ctx, &r); err != nil {
			return r, fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return r, nil
}
