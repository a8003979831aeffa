package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ferryvmm/ferry/internal/chart"
	"github.com/ferryvmm/ferry/tests/chromium"
)

// plot is a chart by its file's name.
type plot struct {
	name string
	chart.Chart
}

// plots are those for which something was measured.
func (r *record) plots() []plot {
	var all []plot
	if c, ok := r.timelinePlot(); ok {
		all = append(all, plot{"timeline", c})
	}
	for _, p := range []struct {
		name, title, setting string
		metric               metric
		logX, logY           bool
	}{
		{"downtime-dirty", "Downtime against the rate at which the guest writes", dirtySeries, observedMS, false, true},
		{"total-memory", "Total time against the memory in use", memorySeries, totalMS, true, true},
		{"total-sparse", "Total time against the configured memory, 64 MiB of it in use", sparseSeries, totalMS, true, true},
		{"throughput-channels", "Throughput against channels, unshaped", channelSeries, dataMbits, false, false},
		{"cpu-channels", "CPU time of the source for a GiB, against channels", channelSeries, sourceCPU, false, false},
		{"downtime-vcpus", "Downtime against vCPUs", vcpuSeries, observedMS, false, false},
	} {
		c := chart.Chart{
			Title: p.title, Says: p.title, X: chart.Axis{Title: strings.TrimSuffix(p.setting, ":"), Log: p.logX}, Y: chart.Axis{Title: p.metric.Name + ", " + p.metric.Unit, Log: p.logY},
			Series: r.series("scale", p.setting, p.metric),
		}
		if len(c.Series) > 0 {
			all = append(all, plot{p.name, c})
		}
	}
	return append(all, r.faultPlots()...)
}

// series of medians with their spread, one for each way.
func (r *record) series(benchmark, setting string, m metric) []chart.Series {
	var all []chart.Series
	for _, s := range r.summaries(benchmark) {
		if s.Setting != setting || s.Metric != m.Name {
			continue
		}
		i := slices.IndexFunc(all, func(c chart.Series) bool { return c.Name == s.Way })
		if i < 0 {
			i = len(all)
			all = append(all, chart.Series{Name: s.Way, Kind: chart.Trend, Tone: i % chart.Tones})
		}
		p := chart.Point{X: s.At, Y: s.Median}
		if s.Samples > 1 {
			p.Low, p.High = s.Min, s.Max
		}
		all[i].Points = append(all[i].Points, p)
	}
	for i := range all {
		slices.SortFunc(all[i].Points, func(a, b chart.Point) int { return cmp.Compare(a.X, b.X) })
	}
	return all
}

// timelinePlot draws the rounds of one move.
func (r *record) timelinePlot() (chart.Chart, bool) {
	sent := chart.Series{Name: "sent", Kind: chart.Line, Tone: 0, Fill: true}
	dirty := chart.Series{Name: "written by the guest", Kind: chart.Line, Tone: 1}
	at := 0.0
	rounds := make(map[float64]map[string]float64)
	var order []float64
	for _, s := range r.summaries("timeline") {
		if s.Setting != roundSeries {
			continue
		}
		if rounds[s.At] == nil {
			rounds[s.At] = make(map[string]float64)
			order = append(order, s.At)
		}
		rounds[s.At][s.Metric] = s.Median
	}
	for _, n := range order {
		one := rounds[n]
		end := at + one[roundMS.Name]
		sent.Points = append(sent.Points, chart.Point{X: at, Y: one[roundSent.Name]}, chart.Point{X: end, Y: one[roundSent.Name]})
		dirty.Points = append(dirty.Points, chart.Point{X: at, Y: one[roundDirty.Name]}, chart.Point{X: end, Y: one[roundDirty.Name]})
		at = end
	}
	title := "A move by round: " + timelineSays
	return chart.Chart{
		Title: title, Says: title, X: chart.Axis{Title: "ms since the first round began"}, Y: chart.Axis{Title: "Mbit/s"}, Series: []chart.Series{sent, dirty},
	}, len(order) > 0
}

// faultPlots draw, for each link, which share of the guest's waits was over by when.
func (r *record) faultPlots() []plot {
	var all []plot
	for _, s := range r.summaries("faults") {
		if s.Metric != histogramOf {
			continue
		}
		name := "fault-latency-" + strings.ReplaceAll(strings.TrimSuffix(s.Setting, " Gbit/s:"), ".", "-") + "g"
		i := slices.IndexFunc(all, func(p plot) bool { return p.name == name })
		if i < 0 {
			i = len(all)
			title := "Waits for pages in the pull, as the guest timed them, over " + strings.TrimSuffix(s.Setting, ":")
			all = append(all, plot{name, chart.Chart{Title: title, Says: title, X: chart.Axis{Title: "us", Log: true}, Y: chart.Axis{Title: "% of waits over 50 us that were over by then", Max: 100}}})
		}
		c := &all[i].Chart
		j := slices.IndexFunc(c.Series, func(x chart.Series) bool { return x.Name == s.Way })
		if j < 0 {
			j = len(c.Series)
			c.Series = append(c.Series, chart.Series{Name: s.Way, Kind: chart.Step, Tone: j % chart.Tones})
		}
		c.Series[j].Points = append(c.Series[j].Points, chart.Point{X: s.At, Y: s.Median * float64(s.Samples)})
	}
	for i := range all {
		for j := range all[i].Series {
			accumulate(all[i].Series[j].Points)
		}
	}
	return all
}

// accumulate makes counts the percentage of all up to them, in order of X.
func accumulate(points []chart.Point) {
	slices.SortFunc(points, func(a, b chart.Point) int { return cmp.Compare(a.X, b.X) })
	sum := 0.0
	for i := range points {
		sum += points[i].Y
		points[i].Y = sum
	}
	for i := range points {
		points[i].Y *= 100 / max(sum, 1)
	}
}

// writePlots writes every plot as SVG, and as PNG where there is a browser.
func (r *record) writePlots(ctx context.Context, dir string) error {
	browser, err := chromium.Find()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: plots as SVG only: %v\n", err)
	}
	for _, p := range r.plots() {
		var svg bytes.Buffer
		if err := p.WriteFile(&svg); err != nil {
			return err
		}
		path := filepath.Join(dir, p.name+".svg")
		if err := os.WriteFile(path, svg.Bytes(), 0o644); err != nil {
			return err
		}
		if browser == "" {
			continue
		}
		if err := shoot(ctx, browser, svg.String(), filepath.Join(dir, p.name+".png")); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// shoot makes a PNG of an SVG.
func shoot(ctx context.Context, browser chromium.Browser, svg, path string) (err error) {
	tmp, err := os.MkdirTemp("", "ferry-plot-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	page := `<!DOCTYPE html><meta charset="utf-8"><body style="margin:0">` + svg
	img, err := browser.Shoot(ctx, tmp, page, chromium.View{Width: chart.FileWidth, Height: chart.FileHeight})
	if err != nil {
		return err
	}
	return chromium.WritePNG(path, img)
}

// write puts everything that was measured into a folder.
func (r *record) write(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, write := range map[string]func(*os.File) error{
		"samples.csv": func(f *os.File) error { return r.writeCSV(f) },
		"tables.md":   func(f *os.File) error { return r.writeTables(f) },
	} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if err := errors.Join(write(f), f.Close()); err != nil {
			return err
		}
	}
	if err := r.writePlots(ctx, dir); err != nil {
		return err
	}
	fmt.Printf("%s samples in %s\n", strconv.Itoa(len(r.all)), dir)
	return nil
}
