package main

import (
	"errors"
	"math"
	"strconv"

	"github.com/spf13/pflag"
)

// bandwidth is a number of bits a second, written with k, M or G for 10^3, 10^6
// or 10^9; 0 where none was given.
type bandwidth uint64

var _ pflag.Value = (*bandwidth)(nil)

const (
	minBandwidth = 100e3 // a guest of any size would never arrive
	maxBandwidth = 1e15
)

func (b *bandwidth) Type() string { return "RATE" }

func (b *bandwidth) String() string {
	if *b == 0 {
		return "" // pflag then shows no default
	}
	return strconv.FormatUint(uint64(*b), 10)
}

func (b *bandwidth) Set(text string) error {
	unit, digits := 1.0, text
	if n := len(text); n > 0 {
		if u, ok := map[byte]float64{'k': 1e3, 'M': 1e6, 'G': 1e9}[text[n-1]]; ok {
			unit, digits = u, text[:n-1]
		}
	}
	number, err := strconv.ParseFloat(digits, 64)
	if err != nil || math.IsNaN(number) {
		return errors.New("write it in bits/s, such as 100M or 2.5G")
	}
	if number *= unit; number < minBandwidth || number > maxBandwidth {
		return errors.New("want 100k to 1000000G bits/s")
	}
	*b = bandwidth(number)
	return nil
}
