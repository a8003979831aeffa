package main

import (
	"fmt"

	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/tests/drive"
)

// place is a boundary of a move at which a fault is put.
type place struct {
	drive.Boundary
	last bool // of many frames of its kind
}

var frameNames = map[byte]string{
	drive.FrameReserve: "Reserve", drive.FrameReserved: "Reserved", drive.FrameState: "State", drive.FramePrepared: "Prepared",
	drive.FrameCommit: "Commit", drive.FrameRunning: "Running", drive.FrameRelease: "Release", drive.FrameRoundAck: "RoundAck",
	drive.FramePulled: "Pulled", drive.FrameFetch: "Fetch", drive.FramePages: "Pages", drive.FrameRoundEnd: "RoundEnd",
	drive.FrameWant:   "Want",
	drive.FrameFrames: "Frames", drive.FrameDrained: "Drained", drive.FrameDelivered: "Delivered",
}

// String is fit for a part of a cell's name: before-Pages-0 (bulk, of the source).
func (p place) String() string {
	when, via := "before", ""
	if p.After {
		when = "after"
	}
	if p.Role == migration.RoleUrgent && p.Type == drive.FramePages {
		via = "urgent" // they come on two connections
	}
	name := frameNames[p.Type]
	if name == "" {
		name = fmt.Sprintf("frame%d", p.Type)
	}
	return fmt.Sprintf("%s-%s%s-%d", when, via, name, p.N)
}

// places collapses the boundaries of an undisturbed move: of frames that are
// repeated the first, the middle and the last one.
func places(seen []drive.Boundary) []place {
	counts := make(map[drive.Boundary]int) // by kind: N is 0
	for _, b := range seen {
		b.N = 0
		counts[b]++
	}
	var all []place
	for _, b := range seen {
		kind := b
		kind.N = 0
		switch n := counts[kind]; {
		case b.N == n-1:
			all = append(all, place{b, n > 1})
		case b.N == 0, b.N == n/2:
			all = append(all, place{b, false})
		}
	}
	return all
}

// cell is one fault at one place of a move.
type cell struct {
	mode  mode
	place place
	fault fault
}

func (c cell) String() string { return fmt.Sprintf("%s/%v/%s", c.mode.name, c.place, c.fault.name) }
