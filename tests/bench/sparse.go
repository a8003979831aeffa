package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ferryvmm/ferry/tests/drive"
)

// ratioGoal is what a mostly untouched guest may cost of a small one.
const ratioGoal = 1.25

// The two guests of the comparison touch the same memory, in MiB.
const (
	small   = 256
	large   = 4096
	touched = "fill=32 rate=0"
)

// sparse compares a mostly untouched guest with a small one.
type sparse struct {
	SmallMS float64 `json:"total_ms_256m"` // medians
	LargeMS float64 `json:"total_ms_4g"`
	Ratio   float64 `json:"ratio"`
}

func (b bench) sparse(ctx context.Context, into *results) error {
	totals := make(map[int][]float64)
	for n := range b.samples {
		for _, size := range []int{small, large} {
			ms, err := b.total(ctx, size)
			if err != nil {
				return fmt.Errorf("guest of %d MiB: %w", size, err)
			}
			b.record.add(what{"sparse", "ferry", "configured memory, MiB:", float64(size), n}, totalMS, ms)
			totals[size] = append(totals[size], ms)
		}
	}
	r := &sparse{SmallMS: median(totals[small]), LargeMS: median(totals[large])}
	r.Ratio = r.LargeMS / r.SmallMS
	fmt.Printf("total of a move, %q: %.0f ms with 256 MiB, %.0f ms with 4 GiB: ratio %.2f; goal: at most %.2f\n",
		touched, r.SmallMS, r.LargeMS, r.Ratio, ratioGoal)
	into.Sparse = r
	return nil
}

// total moves a fresh guest of size MiB once.
func (b bench) total(ctx context.Context, size int) (ms float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, sampleWithin)
	defer cancel()
	w, err := drive.NewWorld(b.vmm, 2)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	t, err := drive.Boot(ctx, w.Sites, drive.Guest{Name: "sparse", Memory: size, CPUs: 1, Cmdline: touched})
	if err != nil {
		return 0, err
	}
	m, err := t.Move(ctx)
	if err == nil && m.Outcome != "completed" {
		err = fmt.Errorf("got outcome %s (%s); want completed", m.Outcome, m.Reason)
	}
	if err != nil {
		return 0, err
	}
	return m.TotalMS, t.Stop(ctx)
}
