package migration

import (
	"math/bits"
	"time"
)

// latencies is a histogram of times, each known to about 6 %.
type latencies struct {
	counts [latencyBuckets]uint64
	all    uint64
	max    time.Duration
	sum    time.Duration
}

// A bucket is an eighth of a power of two microseconds.
const (
	latencySteps   = 8
	latencyBuckets = 32 * latencySteps
)

func latencyBucket(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 0))
	if us < latencySteps {
		return int(us)
	}
	log := bits.Len64(us) - 1 // at least 3
	return min((log-2)*latencySteps+int(us>>(log-3)&(latencySteps-1)), latencyBuckets-1)
}

// bucketTop is the upper bound of a bucket.
func bucketTop(b int) time.Duration {
	if b < latencySteps {
		return time.Duration(b+1) * time.Microsecond
	}
	log := b/latencySteps + 2
	return time.Duration(uint64(latencySteps+b%latencySteps+1)<<(log-3)) * time.Microsecond
}

func (l *latencies) add(d time.Duration) {
	l.counts[latencyBucket(d)]++
	l.all++
	l.sum += d
	l.max = max(l.max, d)
}

// quantile is the time that a share of all do not exceed.
func (l *latencies) quantile(share float64) time.Duration {
	want, seen := uint64(share*float64(l.all)), uint64(0)
	for b, n := range l.counts {
		if seen += n; n > 0 && seen > want || seen == l.all {
			return min(bucketTop(b), l.max)
		}
	}
	return l.max
}

// Faults says how long a guest waited for pages that were missing at its target.
type Faults struct {
	Count uint64  `json:"count" cbor:"count"`   // pages that it, or a device of its own, waited for
	P50US float64 `json:"p50_us" cbor:"p50_us"` // from the fault to its end
	P99US float64 `json:"p99_us" cbor:"p99_us"`
	MaxUS float64 `json:"max_us" cbor:"max_us"`
	// The medians of the parts, of pages that were not on their way already: asking for it, until
	// its bytes had come, and until it was in place and the vCPU woken.
	AskUS   float64 `json:"ask_us" cbor:"ask_us"`
	WireUS  float64 `json:"wire_us" cbor:"wire_us"`
	PlaceUS float64 `json:"place_us" cbor:"place_us"`
	// BlockedMS is the sum of all waits: the time that vCPUs, and devices, stood still.
	BlockedMS float64 `json:"blocked_ms" cbor:"blocked_ms"`
	// Histogram counts the waits up to and including a number of microseconds,
	// and beyond the last such number.
	Histogram []FaultBucket `json:"histogram,omitempty" cbor:"histogram,omitempty"`
}

// FaultBucket is one bar of a histogram.
type FaultBucket struct {
	UpToUS float64 `json:"up_to_us" cbor:"up_to_us"`
	Count  uint64  `json:"count" cbor:"count"`
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// faults sums them up: a bar for each power of two.
func (l *latencies) faults() Faults {
	f := Faults{Count: l.all, BlockedMS: milliseconds(l.sum)}
	if l.all == 0 {
		return f
	}
	f.P50US, f.P99US, f.MaxUS = microseconds(l.quantile(0.5)), microseconds(l.quantile(0.99)), microseconds(l.max)
	for b := 0; b < latencyBuckets; b += latencySteps {
		var n uint64
		for _, c := range l.counts[b : b+latencySteps] {
			n += c
		}
		if n > 0 {
			f.Histogram = append(f.Histogram, FaultBucket{UpToUS: microseconds(bucketTop(b + latencySteps - 1)), Count: n})
		}
	}
	return f
}
