package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// summary is the last line of the matrix.
type summary struct {
	Cells  int `json:"cells"`
	Passed int `json:"passed"`
	Failed int `json:"failed"`
}

// count is how many cells of a kind there were.
type count struct{ passed, all int }

// counts are those of all cells, by mode and fault.
type counts map[[2]string]count

func (c counts) add(v verdict) {
	for _, key := range [][2]string{{v.cell.mode.name, v.cell.fault.name}, {v.cell.mode.name, ""}, {"", v.cell.fault.name}, {"", ""}} {
		n := c[key]
		n.all++
		if v.err == nil {
			n.passed++
		}
		c[key] = n
	}
}

func (c counts) summary() summary {
	n := c[[2]string{}]
	return summary{Cells: n.all, Passed: n.passed, Failed: n.all - n.passed}
}

// table prints passed/all by fault and mode.
func (c counts) table(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	columns := append(modes[:len(modes):len(modes)], mode{})
	fmt.Fprint(t, "passed/all")
	for _, m := range columns {
		fmt.Fprintf(t, "\t%s", orAll(m.name))
	}
	fmt.Fprintln(t)
	for _, f := range append(faults[:len(faults):len(faults)], fault{}) {
		fmt.Fprint(t, orAll(f.name))
		for _, m := range columns {
			n := c[[2]string{m.name, f.name}]
			fmt.Fprintf(t, "\t%d/%d", n.passed, n.all)
		}
		fmt.Fprintln(t)
	}
	t.Flush()
}

func orAll(name string) string {
	if name == "" {
		return "all"
	}
	return name
}
