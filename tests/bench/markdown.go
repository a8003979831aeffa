package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// hidden are metrics that plots show and tables do not.
const histogramOf = "first touches up to"

// writeTables writes a Markdown table of each benchmark: a line for each setting and way, a column for each metric, medians with their spread. Below those of a
// setting is Ferry's share of the best peer's.
func (r *record) writeTables(to io.Writer) error {
	var b strings.Builder
	for _, name := range r.benchmarks() {
		table(&b, name, slices.DeleteFunc(r.summaries(name), func(s summary) bool { return s.Metric == histogramOf }))
	}
	_, err := io.WriteString(to, b.String())
	return err
}

func table(b *strings.Builder, name string, all []summary) {
	var columns []string
	cells := make(map[string]summary) // by line and column
	type line struct {
		setting string
		at      float64
		way     string
	}
	var lines []line
	cell := func(l line, column string) string { return fmt.Sprint(l, column) }
	samples := 0
	for _, s := range all {
		column := s.Metric + ", " + s.Unit
		if !slices.Contains(columns, column) {
			columns = append(columns, column)
		}
		l := line{s.Setting, s.At, s.Way}
		if !slices.Contains(lines, l) {
			lines = append(lines, l)
		}
		cells[cell(l, column)] = s
		samples = max(samples, s.Samples)
	}
	fmt.Fprintf(b, "## %s\n\nMedians of %d, least to most.\n\n| | |", name, samples)
	for _, c := range columns {
		fmt.Fprintf(b, " %s |", c)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for i, l := range lines {
		fmt.Fprintf(b, "| %s | %s |", settingText(l.setting, l.at), escaped(l.way))
		for _, c := range columns {
			b.WriteString(" " + cellText(cells, cell(l, c)) + " |")
		}
		b.WriteString("\n")
		if i+1 < len(lines) && lines[i+1].setting == l.setting && lines[i+1].at == l.at {
			continue
		}
		var ratios strings.Builder
		compared := false
		for _, c := range columns {
			ours, peers := 0.0, []float64(nil)
			better := 0
			for _, o := range lines {
				s, ok := cells[cell(o, c)]
				if !ok || o.setting != l.setting || o.at != l.at || s.better == 0 {
					continue
				}
				better = s.better
				if strings.HasPrefix(o.way, "ferry") && ours == 0 {
					ours = s.Median
				} else if strings.HasPrefix(o.way, "qemu") {
					peers = append(peers, s.Median)
				}
			}
			text := ""
			if best := bestOf(peers, better); ours > 0 && best > 0 {
				text, compared = fmt.Sprintf("%.2f", ours/best), true
			}
			fmt.Fprintf(&ratios, " %s |", text)
		}
		if compared {
			fmt.Fprintf(b, "| | *ferry / best of qemu* |%s\n", &ratios)
		}
	}
	b.WriteString("\n")
}

// bestOf is the best of some numbers, 0 if there are none.
func bestOf(list []float64, better int) float64 {
	switch {
	case len(list) == 0:
		return 0
	case better > 0:
		return slices.Max(list)
	}
	return slices.Min(list)
}

func cellText(cells map[string]summary, key string) string {
	s, ok := cells[key]
	if !ok {
		return ""
	}
	if s.Samples == 1 {
		return threeDigits(s.Median)
	}
	return fmt.Sprintf("%s (%s to %s)", threeDigits(s.Median), threeDigits(s.Min), threeDigits(s.Max))
}

// threeDigits shortens a number; what is larger is whole.
func threeDigits(v float64) string {
	if v >= 100 || v <= -100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

func settingText(setting string, at float64) string {
	if at == 0 && !strings.HasSuffix(setting, ":") {
		return escaped(setting)
	}
	return escaped(strings.TrimSuffix(setting, ":")) + " " + threeDigits(at)
}

// escaped keeps text in its cell.
func escaped(text string) string { return strings.ReplaceAll(text, "|", "\\|") }
