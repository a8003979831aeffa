package main

import "slices"

// median returns the upper median. Precondition: list is not empty.
func median(list []float64) float64 {
	return slices.Sorted(slices.Values(list))[len(list)/2]
}
