package main

import (
	"encoding/csv"
	"io"
	"slices"
	"strconv"
)

// observation is one number of one sample: a line of samples.csv.
type observation struct {
	Benchmark string
	Way       string  // who did it, and how
	Setting   string  // what was varied, or to what; empty: nothing was
	At        float64 // its value, if it has one
	Sample    int     // from 1
	metric
	Value float64
}

// metric is what is measured. Better is 1 where more is better, -1 where less is, 0 for what is neither.
type metric struct {
	Name, Unit string
	Better     int
}

// The metrics of a move.
var (
	observedMS = metric{"observed downtime", "ms", -1}
	reportedMS = metric{"reported downtime", "ms", -1}
	totalMS    = metric{"total", "ms", -1}
	sentMiB    = metric{"sent", "MiB", -1}
	dirtyMiBS  = metric{"dirtied before", "MiB/s", 0}
	dataMbits  = metric{"data", "Mbit/s", 1}
	sourceCPU  = metric{"CPU per GiB, source", "s", -1}
	targetCPU  = metric{"CPU per GiB, target", "s", -1}
)

// record has all observations of a run.
type record struct{ all []observation }

// what is measured in one sample.
type what struct {
	benchmark, way, setting string
	at                      float64
	sample                  int // from 0
}

// add notes a number.
func (r *record) add(w what, m metric, value float64) {
	r.all = append(r.all, observation{w.benchmark, w.way, w.setting, w.at, w.sample + 1, m, value})
}

// ride notes what there is of a move.
func (r *record) ride(w what, got rode) {
	if got.pump {
		r.add(w, dataMbits, got.data)
		return
	}
	r.add(w, observedMS, got.gap)
	r.add(w, reportedMS, got.downtime)
	r.add(w, totalMS, got.total)
	r.add(w, sentMiB, got.sent)
	if got.before.Values != nil {
		r.add(w, dirtyMiBS, got.dirtied())
	}
	if got.data > 0 {
		r.add(w, dataMbits, got.data)
	}
	if got.sent > 0 && got.source+got.target > 0 {
		r.add(w, sourceCPU, got.source/got.sent*1024)
		r.add(w, targetCPU, got.target/got.sent*1024)
	}
}

// writeCSV writes all observations, with a header.
func (r *record) writeCSV(to io.Writer) error {
	w := csv.NewWriter(to)
	w.Write([]string{"benchmark", "way", "setting", "at", "sample", "metric", "unit", "value"}) //nolint:errcheck // Error says so
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	for _, o := range r.all {
		w.Write([]string{o.Benchmark, o.Way, o.Setting, number(o.At), strconv.Itoa(o.Sample), o.Name, o.Unit, number(o.Value)}) //nolint:errcheck // likewise
	}
	w.Flush()
	return w.Error()
}

// summary is one number over its samples.
type summary struct {
	Benchmark string  `json:"benchmark"`
	Setting   string  `json:"setting,omitempty"`
	At        float64 `json:"at"`
	Way       string  `json:"way"`
	Metric    string  `json:"metric"`
	Unit      string  `json:"unit"`
	Samples   int     `json:"samples"`
	Median    float64 `json:"median"`
	Min       float64 `json:"min"`
	Max       float64 `json:"max"`

	better int
}

// summaries are those of one benchmark, in the order in which they were first measured.
func (r *record) summaries(benchmark string) []summary {
	type key struct {
		setting string
		at      float64
		way     string
		metric  metric
	}
	var order []key
	values := make(map[key][]float64)
	for _, o := range r.all {
		if o.Benchmark != benchmark {
			continue
		}
		k := key{o.Setting, o.At, o.Way, o.metric}
		if values[k] == nil {
			order = append(order, k)
		}
		values[k] = append(values[k], o.Value)
	}
	var all []summary
	for _, k := range order {
		list := values[k]
		all = append(all, summary{
			Benchmark: benchmark, Setting: k.setting, At: k.at, Way: k.way, Metric: k.metric.Name, Unit: k.metric.Unit, better: k.metric.Better,
			Samples: len(list), Median: median(list), Min: slices.Min(list), Max: slices.Max(list),
		})
	}
	return all
}

// benchmarks that were measured, in order.
func (r *record) benchmarks() (all []string) {
	for _, o := range r.all {
		if !slices.Contains(all, o.Benchmark) {
			all = append(all, o.Benchmark)
		}
	}
	return all
}

// pull notes a move that pulled: how long the guest waited for pages.
func (r *record) pull(w what, got rode) {
	r.ride(w, got)
	r.add(w, metric{"waits over 50 us", "waits", 0}, got.touchCount())
	r.add(w, metric{"wait p50", "us", -1}, got.touchP50())
	r.add(w, metric{"wait p99", "us", -1}, got.touchP99())
	w.setting += ":"
	for bucket, n := range touchedBetween(got.before, got.after).long {
		if n > 0 {
			w.at = float64(touchEdge(bucket+1)) / 1000
			r.add(w, metric{histogramOf, "us", 0}, n)
		}
	}
}
