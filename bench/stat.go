// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"math"
	"slices"
	"time"
)

func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// quantile returns the value that the share q of all samples does not exceed, in milliseconds. It sorts d.
func quantile(d []time.Duration, q float64) float64 {
	if len(d) == 0 {
		return math.NaN()
	}
	slices.Sort(d)
	i := int(math.Ceil(q*float64(len(d)))) - 1
	return float64(d[max(i, 0)]) / float64(time.Millisecond)
}

// alternate runs both sides in turns, n rounds each, so that what disturbs the machine disturbs both.
func alternate(n int, server, ceiling func() (float64, error)) (s, c []float64, err error) {
	for range n {
		for _, side := range []struct {
			run  func() (float64, error)
			into *[]float64
		}{{server, &s}, {ceiling, &c}} {
			v, err := side.run()
			if err != nil {
				return s, c, err
			}
			*side.into = append(*side.into, v)
		}
	}
	return s, c, nil
}
