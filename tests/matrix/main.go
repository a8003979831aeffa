// Command matrix puts every fault at every boundary between two messages of a move,
// in every mode, with real processes and a guest that writes, and compares what
// becomes of the guest with what expect.go says. Its last line on stdout is one JSON
// object; it ends with 0 only if every cell ended as it should.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// config is what the command was asked for.
type config struct {
	vmm      string
	sample   int    // cells, 0: all
	seed     uint64 // of the sample
	mode     string // empty: all
	only     *regexp.Regexp
	parallel int
	logs     string // folder of the logs of failed cells
	verbose  bool
}

func main() {
	var c config
	flag.StringVar(&c.vmm, "vmm", "bin/vmm", "the command to test, a `file`")
	flag.IntVar(&c.sample, "sample", 0, "how many cells to run, spread over all; 0: every one")
	flag.Uint64Var(&c.seed, "seed", 1, "which cells a sample takes")
	flag.StringVar(&c.mode, "mode", "", "run the cells of one mode")
	only := flag.String("only", "", "run the cells whose name matches, a `pattern` (mode/place/fault)")
	flag.IntVar(&c.parallel, "parallel", 2, "how many cells run at a time")
	flag.StringVar(&c.logs, "logs", "", "keep the logs of cells that fail in this `folder`")
	flag.BoolVar(&c.verbose, "v", false, "a line for each cell")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if c.only, err = regexp.Compile(*only); err != nil {
		fmt.Fprintf(os.Stderr, "matrix: %v\n", err)
		os.Exit(2)
	}
	total, err := c.matrix(ctx)
	text, jsonErr := json.Marshal(total)
	if jsonErr != nil {
		panic(jsonErr) // a struct of numbers
	}
	fmt.Println(string(text))
	if err != nil {
		fmt.Fprintf(os.Stderr, "matrix: %v\n", err)
	}
	if err != nil || total.Failed > 0 || total.Cells == 0 {
		os.Exit(1)
	}
}

// matrix runs the cells that were asked for.
func (c config) matrix(ctx context.Context) (summary, error) {
	cells, err := c.cells(ctx)
	if err != nil {
		return summary{}, err
	}
	began := time.Now()
	fmt.Fprintf(os.Stderr, "%d cells\n", len(cells))
	all := counts{}
	for v := range c.verdicts(ctx, cells) {
		all.add(v)
		switch {
		case v.err != nil:
			fmt.Fprintf(os.Stderr, "FAIL %v: phase %v: %s\n", v.cell, v.phase, strings.ReplaceAll(v.err.Error(), "\n", "; "))
			c.keep(v)
		case c.verbose:
			fmt.Fprintf(os.Stderr, "ok   %v: phase %v: %v\n", v.cell, v.phase, v.end)
		}
	}
	all.table(os.Stderr)
	fmt.Fprintf(os.Stderr, "%v\n", time.Since(began).Round(time.Second))
	return all.summary(), ctx.Err()
}

// cells are those that were asked for, of moves that are made now.
func (c config) cells(ctx context.Context) ([]cell, error) {
	var all []cell
	for _, m := range modes {
		if c.mode != "" && c.mode != m.name {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, cellWithin)
		found, err := record(ctx, c.vmm, m)
		cancel()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		for _, p := range found {
			for _, f := range faults {
				if one := (cell{m, p, f}); c.only.MatchString(one.String()) {
					all = append(all, one)
				}
			}
		}
	}
	if c.sample > 0 {
		rand.New(rand.NewPCG(c.seed, 0)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		all = all[:min(c.sample, len(all))]
	}
	return all, nil
}

// verdicts runs the cells, some at a time.
func (c config) verdicts(ctx context.Context, cells []cell) <-chan verdict {
	todo, done := make(chan cell), make(chan verdict)
	go func() {
		defer close(todo)
		for _, one := range cells {
			select {
			case todo <- one:
			case <-ctx.Done():
				return
			}
		}
	}()
	var group sync.WaitGroup
	for range c.parallel {
		group.Go(func() {
			for one := range todo {
				done <- run(ctx, c.vmm, one)
			}
		})
	}
	go func() {
		group.Wait()
		close(done)
	}()
	return done
}

// keep writes the logs of a cell that failed.
func (c config) keep(v verdict) {
	if c.logs == "" {
		return
	}
	path := filepath.Join(c.logs, strings.ReplaceAll(v.cell.String(), "/", "_")+".txt")
	err := os.MkdirAll(c.logs, 0o700)
	if err == nil {
		err = os.WriteFile(path, []byte(fmt.Sprintf("%v\n%v\n%s", v.cell, v.err, v.logs)), 0o600)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "matrix: %v\n", err)
	}
}
