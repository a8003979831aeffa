package main

import "slices"

// median returns the upper median. Precondition: list is not empty.
func median(list []float64) float64 {
	return slices.Sorted(slices.Values(list))[len(list)/2]
}

// medianOf is the median of something about each.
func medianOf[T any](all []T, of func(T) float64) float64 {
	var list []float64
	for _, one := range all {
		list = append(list, of(one))
	}
	return median(list)
}
