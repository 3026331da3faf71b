package main

import (
	"math"
	"slices"
)

// sample is a number of measurements of the same thing.
type sample []float64

// quantile is the smallest value that so many of the sample don't exceed: 0.5
// for the median, 0.99 for p99. Of an empty sample it isn't a number.
func (s sample) quantile(q float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[max(0, int(math.Ceil(q*float64(len(s))))-1)]
}

func (s sample) median() float64 { return s.quantile(0.5) }
