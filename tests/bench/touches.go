package main

import (
	"strconv"

	"github.com/ferryvmm/ferry/internal/lab"
)

// The buckets of loadgen's histogram of first accesses that took long: four an octave, from the one that 50 us are in.
const (
	touchBuckets = 80
	firstOctave  = 15 // 32768 ns
	firstQuarter = 2
)

// touches are first accesses to pages that the host had to bring or to map, as loadgen timed them.
type touches struct {
	all  float64 // over 2 us
	long [touchBuckets]float64
}

// touchEdge is the lower end of a bucket, in ns.
func touchEdge(bucket int) int {
	n := firstQuarter + bucket
	return (4 + n%4) << (firstOctave - 2 + n/4)
}

func touchesOf(s lab.Stat) (t touches) {
	t.all = s.Values["touches"]
	for i := range t.long {
		t.long[i] = s.Values["touch_"+strconv.Itoa(touchEdge(i+1)/1000)]
	}
	return t
}

// touchedBetween are those between two STAT lines.
func touchedBetween(before, after lab.Stat) touches {
	a, t := touchesOf(before), touchesOf(after)
	t.all -= a.all
	for i := range t.long {
		t.long[i] -= a.long[i]
	}
	return t
}

// count is how many took long.
func (t touches) count() (n float64) {
	for _, c := range t.long {
		n += c
	}
	return n
}

// short is the share of all that did not.
func (t touches) short() float64 {
	if t.all == 0 {
		return 0
	}
	return 1 - t.count()/t.all
}

// quantile is the time, in us, that a share of the long ones did not exceed: within a bucket they are taken to be spread
// evenly. 0 if there are none.
func (t touches) quantile(share float64) float64 {
	left := share * t.count()
	for i, n := range t.long {
		if n > 0 && left <= n {
			from, to := float64(touchEdge(i)), float64(touchEdge(i+1))
			return (from + (to-from)*left/n) / 1000
		}
		left -= n
	}
	return 0
}
