package main

import "github.com/ferryvmm/ferry/tests/drive"

// fault is what goes wrong in a cell.
type fault struct {
	name       string
	host       int  // index of the site whose processes are killed
	machine    bool // is killed
	supervisor bool // is killed
	cut        drive.Cut
}

// The sides of a move.
const (
	source = iota
	target
)

// faults are the columns of the matrix.
var faults = []fault{
	{name: "source-machine", host: source, machine: true},
	{name: "source-supervisor", host: source, supervisor: true},
	{name: "source-both", host: source, machine: true, supervisor: true},
	{name: "target-machine", host: target, machine: true},
	{name: "target-supervisor", host: target, supervisor: true},
	{name: "target-both", host: target, machine: true, supervisor: true},
	{name: "reset", cut: drive.Reset},
	{name: "silence", cut: drive.Silence},
	{name: "half-open", cut: drive.HalfOpen},
}

func (f fault) String() string { return f.name }

// kills tells whether processes of a side are killed.
func (f fault) kills(host int) bool { return f.cut == 0 && f.host == host }
